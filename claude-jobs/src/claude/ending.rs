//! How a run ended: by the status of our child, and by what the supervisor knows better.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;

#[cfg(supervisor)]
use super::supervisor::{Cause, End, Verdict};
#[cfg(supervisor)]
use crate::outcome::StopReason;
use crate::outcome::{Ending, NotStarted};

/// How the process ended.
pub(super) fn of_status(status: Option<ExitStatus>) -> Ending {
    match status {
        Some(status) => status.code().map_or_else(|| Ending::Signalled(status.signal()), Ending::Exited),
        None => Ending::Failed("killed before it had ended".to_owned()),
    }
}

/// How the run ended by the supervisor's account, given our child's and whether we asked for the end.
#[cfg(supervisor)]
pub(super) fn of_supervisor(verdict: Verdict, front: Ending, asked: Option<StopReason>) -> Ending {
    let end = match verdict.end {
        End::Exited(code) => Ending::Exited(code),
        End::Signalled(signal) => Ending::Signalled(Some(signal)),
        End::NotStarted(error) => {
            return Ending::NotStarted(spawn_failure(&std::io::Error::from_raw_os_error(error)));
        }
    };
    // Otherwise not all was read that was printed.
    let is_whole = matches!(front, Ending::Exited(_) | Ending::Signalled(_));
    match (verdict.cause, asked) {
        // Also when a stop came at the last moment: it did not need it.
        (Cause::Itself, _) if is_whole => end,
        (_, Some(reason)) => Ending::Stopped(reason),
        (Cause::Deadline, None) => Ending::Stopped(StopReason::LeaseLost),
        (Cause::HostGone, None) => Ending::Stopped(StopReason::Shutdown),
        (Cause::Itself | Cause::FrontGone, None) => front,
        (Cause::Asked | Cause::Signal | Cause::SupervisorGone, None) => end,
    }
}

/// Why a process could not be started: its program's fault, the options', or the machine's.
pub(super) fn spawn_failure(error: &std::io::Error) -> NotStarted {
    use std::io::ErrorKind as Kind;
    if let Some(lack) = lack(error) {
        return NotStarted::Environment(format!("the CLI could not be started: {lack}: {error}"));
    }
    match error.kind() {
        Kind::NotFound => {
            NotStarted::BinaryMissing(format!("the CLI or its interpreter is missing: {error}"))
        }
        Kind::PermissionDenied => NotStarted::BinaryNotRunnable(format!("the CLI cannot be run: {error}")),
        Kind::ArgumentListTooLong => NotStarted::TooLong(format!(
            "the options are too long for a command line; use the `_file` options: {error}"
        )),
        _ if errno(error) == Some(Errno::NOEXEC) => {
            NotStarted::BinaryNotRunnable(format!("the CLI is not a program: {error}"))
        }
        _ => NotStarted::Refused(format!("the CLI could not be started: {error}")),
    }
}

/// What the machine lacks, if that is why something failed, and what helps.
/// Why a supervisor cannot work, by what it has said: `…: os error <number>`.
pub(super) fn unsupervised(said: &str) -> NotStarted {
    let number = said.rsplit_once("os error ").and_then(|(_, number)| number.trim().parse().ok());
    let lack = number.and_then(|number| lack(&std::io::Error::from_raw_os_error(number)));
    match lack {
        Some(lack) => NotStarted::Environment(format!("{lack}: {said}")),
        None => NotStarted::Refused(said.to_owned()),
    }
}

pub(super) fn lack(error: &std::io::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::MFILE => {
            Some("this process has no file descriptor left (raise `ulimit -n`, or run fewer jobs)")
        }
        Errno::NFILE => Some("the machine has no file descriptor left (raise `fs.file-max`)"),
        Errno::AGAIN => {
            Some("the machine has no process left (raise `ulimit -u` or the cgroup's `pids.max`)")
        }
        Errno::NOMEM => Some("the machine has no memory left (run fewer jobs)"),
        Errno::NOSPC => Some("the disk is full (make room)"),
        Errno::TXTBSY => Some("the program is being written (an update will be done in a moment)"),
        _ => None,
    }
}

fn errno(error: &std::io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_lacks_is_no_fault_of_the_job() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM, Errno::NOSPC, Errno::TXTBSY] {
            let error = std::io::Error::from_raw_os_error(errno.raw_os_error());
            let why = spawn_failure(&error);
            assert!(matches!(&why, NotStarted::Environment(what) if what.contains('(')), "{errno}: {why:?}");
        }
        let missing = spawn_failure(&std::io::Error::from_raw_os_error(Errno::NOENT.raw_os_error()));
        assert!(matches!(missing, NotStarted::BinaryMissing(_)), "{missing:?}");
    }
}
