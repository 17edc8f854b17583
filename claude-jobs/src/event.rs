//! What happens to jobs, on every node of a fleet: [`Event`], and where to read it.
//!
//! | to see | take | sees |
//! |---|---|---|
//! | what every run of the fleet came to, each once, with its cost | [`Queue::events`](crate::Queue::events) | all nodes; can resume at a [`Cursor`] |
//! | what one run is doing, or all that run now | [`Queue::tail`](crate::Queue::tail) | all nodes |
//! | what a run did | [`Queue::log`](crate::Queue::log) | all nodes |
//! | what this very process does, at once and uncopied | [`Notice`](crate::notice::Notice) | this process |
//!
//! All but the last are read from the database, so that they tell of other processes and machines too, and
//! nobody is slowed down where nobody listens.
//!
//! # The log of a run
//!
//! While claude runs, its node writes what it says and does ([`Progress`]) into a table beside the ledger, a few
//! events at a time: about 20 times a second at most, by a task of its own. A run never waits for it: where the
//! database is slow or away, up to [`MOST_WAITING`] events of the process wait, and further ones are counted as
//! [`Progress::Missing`]. A run that prints nothing costs nothing. A log is bounded by [`MOST_EVENTS`] and
//! [`MOST_BYTES`] for each attempt, each text in it by [`MOST_OF_A_TEXT`]. It is removed with its job, by
//! nothing else.
//!
//! # Data at rest
//!
//! The log holds what the agent says, and inputs and outputs of its tools, in the user's own database, as the
//! ledger holds answers. Values of this process's variables that hold secrets (whose name has `KEY`, `TOKEN`,
//! `SECRET`, `PASSWORD`, … in it) and what looks like a key of a known maker are written as `[secret]`.
//! [`RunLog::Redacted`] keeps all texts out, [`RunLog::Off`] writes no log:
//! [`RuntimeBuilder::run_log`](crate::runtime::RuntimeBuilder::run_log). [`Event`]s other than progress hold no
//! contents.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::job::{JobId, RunRow, State, Tokens};
use crate::outcome::{FailureKind, Fault};

mod cursor;
mod fleet;
mod log;
mod progress;
mod recorder;
mod tail;

pub use cursor::{Cursor, Place};
pub use fleet::{Events, Subscribe};
pub use log::{LogEntry, LogPosition, LogRow, MOST_BYTES, MOST_EVENTS, MOST_WAITING, RunLog};
#[cfg(feature = "cli")]
pub(crate) use progress::telling;
pub use progress::{Content, MOST_OF_A_TEXT, Progress, Why};
pub use tail::Tail;

pub(crate) use recorder::{Recorder, Waiting};

/// Something happened to a job, on whichever node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: u32,
    /// Its queue.
    pub queue: String,
    /// Its worker.
    pub worker: String,
    /// The node that runs it, or has run it, where that is known.
    pub node: Option<String>,
    /// When it happened, by the database's clock where it has one.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// It was claimed: a run starts.
    Started,
    /// Its claude said or did something.
    Progress(Progress),
    /// Done: `completed`.
    Completed(Ended),
    /// It runs again, and this attempt counted: `retryable`.
    Retried(Ended),
    /// It runs again, and this attempt did not count: `scheduled`.
    Snoozed(Ended),
    /// Never again, by verdict or on request: `cancelled`.
    Cancelled(Ended),
    /// It has failed for good, its attempts are used up: `discarded`.
    Failed(Ended),
    /// Its node stopped, lost its lease or could not run it: `available`. This attempt did not count; where it had begun,
    /// its session goes on.
    Stopped(Ended),
    /// Its handler failed and runs again, with the same answer: `retryable`. Claude does not run again.
    HandlerFailed(Ended),
    /// Its node died. What became of the job is its worker's `on_lost`: see [`Ended::verdict`]. The cost is
    /// unknown.
    Rescued(Ended),
}

/// What a run came to. Without contents.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ended {
    /// `success`, or the failure's kind, such as `overloaded`.
    pub outcome: String,
    /// The verdict that was carried out.
    pub verdict: String,
    /// How the process ended: `exit 0`, `signal 9`, …
    pub ending: String,
    /// From claim to settlement. As JSON in whole milliseconds, `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// In US dollars; `None` where it is unknown.
    pub cost_usd: Option<f64>,
    /// Turns of the agent.
    pub turns: Option<u32>,
    /// Tokens.
    pub tokens: Option<Tokens>,
    /// The model that answered.
    pub model: Option<String>,
}

impl EventKind {
    /// Its name, as JSON has it in `event`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress(_) => "progress",
            Self::Completed(_) => "completed",
            Self::Retried(_) => "retried",
            Self::Snoozed(_) => "snoozed",
            Self::Cancelled(_) => "cancelled",
            Self::Failed(_) => "failed",
            Self::Stopped(_) => "stopped",
            Self::HandlerFailed(_) => "handler_failed",
            Self::Rescued(_) => "rescued",
        }
    }

    /// What the run came to, where it is over.
    pub const fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Started | Self::Progress(_) => None,
            Self::Completed(ended)
            | Self::Retried(ended)
            | Self::Snoozed(ended)
            | Self::Cancelled(ended)
            | Self::Failed(ended)
            | Self::Stopped(ended)
            | Self::HandlerFailed(ended)
            | Self::Rescued(ended) => Some(ended),
        }
    }

    /// From a row of the ledger, and the job's state where this is still its last attempt.
    ///
    /// Of an attempt before the last only the verdict is left, which does not tell a retry from a job whose
    /// attempts were used up and which somebody has retried by hand since.
    pub(crate) fn of_run(run: &RunRow, state: Option<State>) -> Self {
        let ended = Ended {
            outcome: run.outcome.clone(),
            verdict: run.verdict.clone(),
            ending: run.ending.clone(),
            duration: run.duration(),
            cost_usd: run.cost_usd,
            turns: run.turns,
            tokens: run.tokens,
            model: run.model.clone(),
        };
        if run.ending == "lost" {
            return Self::Rescued(ended);
        }
        match (state, run.verdict.as_str()) {
            (Some(State::Cancelled), _) => Self::Cancelled(ended),
            (Some(State::Discarded), _) => Self::Failed(ended),
            (_, "handler failed") => Self::HandlerFailed(ended),
            (Some(State::Retryable), _) => Self::Retried(ended),
            (_, "complete") => Self::Completed(ended),
            (_, "snooze") => Self::Snoozed(ended),
            (_, "cancel") => Self::Cancelled(ended),
            (_, "give back") => Self::Stopped(ended),
            (_, "resume") if is_of_the_node(&run.outcome) => Self::Stopped(ended),
            _ => Self::Retried(ended),
        }
    }
}

/// Whether an attempt that goes on in its session was cut off by its node, not by a handler's verdict.
fn is_of_the_node(outcome: &str) -> bool {
    let kind = FailureKind::ALL.iter().find(|kind| kind.name() == outcome);
    kind.is_some_and(|kind| *kind == FailureKind::Shutdown || kind.fault() == Some(Fault::Node))
}

fn milliseconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
