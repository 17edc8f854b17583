//! Ends what a dead node's run has left behind on this machine.
//!
//! A run's supervisor ends everything when its node dies. This is for the case that the supervisor died
//! with it (the whole control group was killed, say) and something outlived both. What is ended must be
//! provably the run's: its environment names the database and the attempt, and the caller knows from the
//! job's row that this attempt's node is dead. A process is held by a descriptor before its environment
//! is read, so that an id that is given to another process meanwhile cannot be mistaken for it.

use uuid::Uuid;

/// Ends every process of those runs on this machine; answers how many were found. Reads the environment of each process:
/// not for a thread on which anything waits.
#[cfg(target_os = "linux")]
pub(crate) fn sweep(database: Uuid, markers: &[String]) -> usize {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let this = rustix::process::getpid();
    let mut ended: Vec<&str> = Vec::new();
    for id in ids.filter_map(rustix::process::Pid::from_raw).filter(|id| *id != this) {
        let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else { continue };
        if let Some(marker) = owner(id.as_raw_nonzero().get(), database, markers)
            && pidfd_send_signal(&process, Signal::KILL).is_ok()
        {
            ended.push(marker);
        }
    }
    let found = ended.len();
    if found > 0 {
        ended.sort_unstable();
        ended.dedup();
        tracing::warn!(marker = ended.join(" "), found, "ended what the run of a dead node had left behind");
    }
    found
}

/// Elsewhere nobody can ask a process for its environment.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sweep(_: Uuid, _: &[String]) -> usize {
    0
}

/// The run, of those with these markers, that a process belongs to.
#[cfg(target_os = "linux")]
fn owner(id: i32, database: Uuid, markers: &[String]) -> Option<&str> {
    use super::environment::{DATABASE, RUN};

    // Another user's process, or one that has just ended: either way not ours.
    let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
    let has = |name: &str, value: &str| {
        let wanted = format!("{name}={value}");
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    };
    if !has(DATABASE, &database.to_string()) {
        return None;
    }
    markers.iter().map(String::as_str).find(|marker| has(RUN, marker))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Child, Command};

    use super::super::environment::{DATABASE, RUN};
    use super::*;

    fn sleeper(database: Uuid, marker: &str) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").env(RUN, marker).env(DATABASE, database.to_string());
        command.spawn().expect("sleep exists")
    }

    #[test]
    fn only_processes_of_that_run_are_ended() {
        let (ours, other) = (Uuid::now_v7(), Uuid::now_v7());
        let mut run = [sleeper(ours, "7.1"), sleeper(ours, "7.1")];
        let mut second = [sleeper(ours, "8.1")];
        let mut others = [sleeper(ours, "7.2"), sleeper(ours, "77.1"), sleeper(other, "7.1")];
        let markers = ["7.1", "8.1", "9.1"].map(str::to_owned);
        assert_eq!(sweep(ours, &markers), 3);
        for process in run.iter_mut().chain(&mut second) {
            assert!(!process.wait().expect("it is ours").success());
        }
        for process in &mut others {
            assert!(process.try_wait().expect("it is ours").is_none(), "a bystander was ended");
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
        assert_eq!((sweep(ours, &markers), sweep(ours, &[])), (0, 0));
    }
}
