//! The children of this process: reaping them, and ending all that are left.
//!
//! This process is a subreaper: whatever a descendant leaves behind, however often it forked and
//! whatever session it opened, becomes its child. So only children are ever signalled, level by level.
//! That is safe without looking at anybody's past: a child's process id cannot be given away before we
//! reap it, and nobody else can.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

use super::sys::Signals;

/// How long ending the killed ones may take. Only a process that the kernel cannot end (one that waits
/// for a dead disk or network file system) needs longer; it is given up and reported.
const KILL_LIMIT: Duration = Duration::from_secs(3);

/// How long to wait for the next child to end before looking again.
const TICK: Duration = Duration::from_millis(5);

/// Reaps the children that have ended, and hands each to `seen`. False when there is no child left.
pub(super) fn reap(mut seen: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => seen(pid, status),
            Ok(None) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// Ends every descendant: SIGTERM and some time for those that may still have something to save, then
/// SIGKILL until none is left. Answers how many could not be ended.
pub(super) fn end_all(signals: &Signals, patience: Duration) -> u32 {
    let start = Instant::now();
    let mut asked = HashSet::new();
    while reap(|_, _| {}) {
        let waited = start.elapsed();
        if waited >= patience + KILL_LIMIT {
            return u32::try_from(list().len()).unwrap_or(u32::MAX);
        }
        for child in list() {
            if waited >= patience {
                let _ = kill_process(child, Signal::KILL);
            } else if asked.insert(child) {
                // Once: a second SIGTERM makes some programs give up saving. A stopped one takes none.
                let _ = kill_process(child, Signal::TERM);
                let _ = kill_process(child, Signal::CONT);
            }
        }
        pause(signals, TICK);
    }
    0
}

/// Waits until a child has ended, for `most` at the longest.
fn pause(signals: &Signals, most: Duration) {
    let most = Timespec { tv_sec: 0, tv_nsec: most.subsec_nanos().into() };
    let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&most));
    while signals.next().is_some() {}
}

/// The children, dead ones included.
fn list() -> Vec<Pid> {
    let this = getpid().as_raw_nonzero();
    match std::fs::read_to_string(format!("/proc/{this}/task/{this}/children")) {
        Ok(text) => text.split_ascii_whitespace().filter_map(pid).collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => scan(),
    }
}

/// The same, from every process of the machine.
fn scan() -> Vec<Pid> {
    let this = getpid().as_raw_nonzero().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| pid(entry.file_name().to_str()?));
    ids.filter(|id| parent(*id).as_deref() == Some(&this)).collect()
}

fn parent(id: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold anything; state and parent follow it.
    let fields = stat.rsplit_once(')')?.1;
    fields.split_ascii_whitespace().nth(1).map(str::to_owned)
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_finds_a_child_by_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep exists");
        let id = pid(&child.id().to_string()).expect("an id is positive");
        assert!(scan().contains(&id));
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        assert!(!scan().contains(&id));
    }
}
