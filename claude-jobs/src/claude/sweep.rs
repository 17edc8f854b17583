//! Ends what a dead node's run has left behind on this machine.
//!
//! A run's supervisor ends everything when its node dies. This is for the case that the supervisor died
//! with it (the whole control group was killed, say) and something outlived both. What is ended must be
//! provably the run's: its environment names the database and the attempt, and the caller knows from the
//! job's row that this attempt's node is dead. A process is held by a descriptor before its environment
//! is read, so that an id that is given to another process meanwhile cannot be mistaken for it.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

/// How often it looks at the most.
const MOST_ROUNDS: u32 = 100;

/// How long a process that was ended has to be gone before the next round.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(10);

/// Ends every process of these runs on this machine; answers how many were found. Takes as long as it takes to read the
/// environment of every process: not for an async thread.
pub(crate) fn sweep(database: Uuid, markers: &HashSet<String>) -> usize {
    let mut found = 0;
    // One that forks while we look is found in the next round.
    for _ in 0..MOST_ROUNDS {
        match once(database, markers) {
            0 => break,
            more => found += more,
        }
        std::thread::sleep(BETWEEN_ROUNDS);
    }
    found
}

#[cfg(target_os = "linux")]
fn once(database: Uuid, markers: &HashSet<String>) -> usize {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let database = database.to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let this = rustix::process::getpid();
    let mut found = 0;
    for id in ids.filter_map(rustix::process::Pid::from_raw).filter(|id| *id != this) {
        let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else { continue };
        let Some(marker) = marker(id.as_raw_nonzero().get(), &database) else { continue };
        if markers.contains(&marker) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
            tracing::warn!(marker, "ended what the run of a dead node had left behind");
            found += 1;
        }
    }
    found
}

/// Elsewhere nobody can ask a process for its environment.
#[cfg(not(target_os = "linux"))]
fn once(_: Uuid, _: &HashSet<String>) -> usize {
    0
}

/// Which run of this database a process belongs to.
#[cfg(target_os = "linux")]
fn marker(id: i32, database: &str) -> Option<String> {
    use super::environment::{DATABASE, RUN};

    // An error: another user's process, or one that has just ended. Either way not ours.
    let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
    let value = |name: &str| {
        let mut entries = environment.split(|byte| *byte == 0);
        let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        value.and_then(|value| std::str::from_utf8(value).ok())
    };
    (value(DATABASE) == Some(database)).then(|| value(RUN).map(str::to_owned))?
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
        let mut run = [sleeper(ours, "7.1"), sleeper(ours, "7.1"), sleeper(ours, "8.3")];
        let mut others = [sleeper(ours, "7.2"), sleeper(ours, "77.1"), sleeper(other, "7.1")];
        let dead = HashSet::from(["7.1".to_owned(), "8.3".to_owned(), "9.1".to_owned()]);
        assert_eq!(sweep(ours, &dead), 3);
        for process in &mut run {
            assert!(!process.wait().expect("it is ours").success());
        }
        for process in &mut others {
            assert!(process.try_wait().expect("it is ours").is_none(), "a bystander was ended");
            process.kill().expect("it is ours");
            process.wait().expect("it is ours");
        }
        assert_eq!(sweep(ours, &dead), 0);
    }
}
