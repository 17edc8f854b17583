//! How a run ended: what the wrapper says of its child, and what the supervisor knows better.
//!
//! The wrapper's own classes of errors are not used (they go by substrings); only exit code and
//! standard error are taken from them.

use claude_wrapper::{CommandOutput, Error, Result};

#[cfg(supervisor)]
use super::supervisor::{Cause, End, Verdict};
#[cfg(supervisor)]
use crate::outcome::StopReason;
use crate::outcome::{Ending, NotStarted};

/// The most of standard error that a report keeps.
const STDERR_KEPT: usize = 16 * 1024;

pub(super) const BROKEN_PIPE: &str = "the CLI closed its standard input before it had read the prompt";

/// How the process ended and what it wrote to standard error, whatever class of error the wrapper
/// made of it.
pub(super) fn of_wrapper(result: Result<CommandOutput>) -> (Ending, String) {
    let exited = |code: i32| if code < 0 { Ending::Signalled(None) } else { Ending::Exited(code) };
    let (ending, stderr) = match result {
        Ok(output) => (exited(output.exit_code), output.stderr),
        Err(Error::CommandFailed { exit_code, stdout, stderr, .. }) => {
            // Lines that were no events may hold the reason.
            let said = if stderr.trim().is_empty() { stdout } else { stderr };
            (exited(exit_code), said)
        }
        Err(Error::Auth { exit_code, message, .. }) => (exited(exit_code), message),
        Err(Error::Io { message, source, .. }) if message.starts_with("failed to spawn") => {
            (Ending::NotStarted(spawn_failure(&source)), String::new())
        }
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            (Ending::Failed(BROKEN_PIPE.to_owned()), String::new())
        }
        Err(Error::Io { message, source, .. }) => {
            (Ending::Failed(format!("{message}: {source}")), String::new())
        }
        Err(Error::OutputLimitExceeded { stream, limit_bytes }) => {
            (Ending::OutputLimit(format!("more than {limit_bytes} bytes on {stream}")), String::new())
        }
        Err(other) => (Ending::Failed(other.to_string()), String::new()),
    };
    (ending, kept(stderr))
}

/// How the run ended by the supervisor's account, given the wrapper's and whether we asked for the end.
#[cfg(supervisor)]
pub(super) fn of_supervisor(verdict: Verdict, wrapper: Ending, asked: Option<StopReason>) -> Ending {
    let end = match verdict.end {
        End::Exited(code) => Ending::Exited(code),
        End::Signalled(signal) => Ending::Signalled(Some(signal)),
        End::NotStarted(error) => {
            return Ending::NotStarted(spawn_failure(&std::io::Error::from_raw_os_error(error)));
        }
    };
    // Otherwise the wrapper has not read all that was printed, and knows why.
    let is_whole = matches!(wrapper, Ending::Exited(_) | Ending::Signalled(_));
    match (verdict.cause, asked) {
        // Also when a stop came at the last moment: it did not need it.
        (Cause::Itself, _) if is_whole => end,
        (_, Some(reason)) => Ending::Stopped(reason),
        (Cause::Deadline | Cause::HostGone, None) => Ending::Stopped(StopReason::Shutdown),
        (Cause::Itself | Cause::FrontGone, None) => wrapper,
        (Cause::Asked | Cause::Signal | Cause::SupervisorGone, None) => end,
    }
}

fn spawn_failure(error: &std::io::Error) -> NotStarted {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => {
            NotStarted::BinaryMissing(format!("the CLI or its interpreter is missing: {error}"))
        }
        Kind::PermissionDenied => NotStarted::BinaryNotRunnable(format!("the CLI cannot be run: {error}")),
        Kind::ArgumentListTooLong => NotStarted::TooLong(format!(
            "the options are too long for a command line; use the `_file` options: {error}"
        )),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            NotStarted::BinaryNotRunnable(format!("the CLI is not a program: {error}"))
        }
        _ => NotStarted::Refused(format!("the CLI could not be started: {error}")),
    }
}

/// The end of standard error.
fn kept(mut stderr: String) -> String {
    if stderr.len() > STDERR_KEPT {
        let mut start = stderr.len() - STDERR_KEPT;
        while !stderr.is_char_boundary(start) {
            start += 1;
        }
        stderr.drain(..start);
    }
    stderr
}
