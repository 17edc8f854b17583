//! How a command ends: [`Exit`] (the process's exit code) and [`Problem`] (what stopped it).

use std::fmt;
use std::process::ExitCode;

use crate::error::Error;
use crate::outcome::{FailureKind, Run};
use crate::verdict::Verdict;

/// The exit codes of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Exit {
    /// It did what was asked.
    Complete = 0,
    /// A queue would run it again; or the command itself failed.
    Retry = 1,
    /// It was asked in a way that cannot be right.
    Usage = 2,
    /// The classifier cancels: the same run would fail the same way.
    Cancelled = 3,
    /// `timeout` or `idle_timeout` passed.
    Timeout = 4,
    /// `max_turns` or `max_budget_usd` was reached.
    RailStop = 5,
    /// The machine or the account is at fault, not the job.
    Environment = 6,
}

impl Exit {
    /// Every code, in order.
    pub const ALL: [Self; 7] = [
        Self::Complete,
        Self::Retry,
        Self::Usage,
        Self::Cancelled,
        Self::Timeout,
        Self::RailStop,
        Self::Environment,
    ];

    /// What the code says, in a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Retry => "a queue would run it again; or the command failed (database, unknown job)",
            Self::Usage => "usage: a flag, a value, the args or the job cannot be right",
            Self::Cancelled => "cancelled by the classifier: the same run would fail the same way",
            Self::Timeout => "`timeout` or `idle_timeout` passed",
            Self::RailStop => "a rail stop: `max_turns` or `max_budget_usd`",
            Self::Environment => "a fault of the machine or the account: the CLI, its login, git",
        }
    }

    /// The code for a finished run: what went wrong first, then what a queue would do.
    pub fn of_run(run: &Run, verdict: &Verdict) -> Self {
        match (run.failure().map(|failure| failure.kind), verdict) {
            (Some(kind), _) if kind.is_rail_stop() => Self::RailStop,
            (Some(kind), _) if kind.is_timeout() => Self::Timeout,
            (Some(kind), _) if kind.fault().is_some() || kind == FailureKind::DangerousModeRefused => {
                Self::Environment
            }
            (_, Verdict::Complete) => Self::Complete,
            (_, Verdict::Retry { .. } | Verdict::Snooze { .. }) => Self::Retry,
            (_, Verdict::Cancel { .. }) => Self::Cancelled,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table of codes for `--help`.
pub(super) fn help() -> String {
    let line = |exit: Exit| format!("\n  {}  {}", exit as u8, exit.meaning());
    format!("Exit codes:{}", Exit::ALL.map(line).concat())
}

/// Why a command could not do its work, as its user reads it.
#[derive(Debug)]
pub(super) struct Problem {
    exit: Exit,
    message: String,
}

impl Problem {
    /// The command failed through no fault of its user's.
    pub(super) fn general(message: impl Into<String>) -> Self {
        Self { exit: Exit::Retry, message: message.into() }
    }

    /// What was asked cannot be right.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// The same, with a remark at its end.
    pub(super) fn with_remark(mut self, remark: &str) -> Self {
        self.message.push_str(remark);
        self
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidArgs(_)
            | Error::InvalidJob(_)
            | Error::UnknownWorker { .. }
            | Error::Configuration(_) => Self::usage(error.to_string()),
            _ => Self::general(error.to_string()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}
