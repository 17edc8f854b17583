//! The log of a run as values: what is kept of it, its rows, how much there may be.

use jiff::Timestamp;
use serde::Serialize;

use super::progress::Progress;
use crate::job::JobId;

/// The most events that an attempt's log holds. What comes later is counted: [`Progress::Missing`].
pub const MOST_EVENTS: u64 = 10_000;

/// The most bytes that an attempt's log holds, as JSON.
pub const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// The most events of a process that wait to be written. What comes meanwhile is counted:
/// [`Progress::Missing`]. Their texts are bounded, so that they take 16 MiB at the worst.
pub const MOST_WAITING: usize = 1_000;

/// What is kept of the events of runs. Chosen by
/// [`RuntimeBuilder::run_log`](crate::runtime::RuntimeBuilder::run_log).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunLog {
    /// Nothing: no log is written.
    Off,
    /// What happened, without contents: which tools were called, how many bytes went in and out, tokens and
    /// cost. No text of the agent, no input or output of tools, no error text.
    Redacted,
    /// Everything, long texts shortened to [`MOST_OF_A_TEXT`](super::MOST_OF_A_TEXT).
    #[default]
    Full,
}

/// An event of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LogEntry {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: u32,
    /// Its place within the attempt, from 1.
    pub number: u64,
    /// When claude printed it.
    pub at: Timestamp,
    /// What it was.
    #[serde(flatten)]
    pub progress: Progress,
}

/// How far a job's log was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPosition {
    /// The job.
    pub job: JobId,
    /// The attempt of the last event that was read; 0 before the first.
    pub attempt: u32,
    /// Its number; 0 before the first.
    pub number: u64,
}

impl LogPosition {
    /// Before the first event of a job.
    pub const fn start_of(job: JobId) -> Self {
        Self { job, attempt: 0, number: 0 }
    }
}

/// A row of the log, ready to be written.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: u32,
    /// Its place in the attempt's log, from 1.
    pub number: u64,
    /// When claude printed it.
    pub at: Timestamp,
    /// [`Progress`] as JSON.
    pub event: String,
}

impl LogRow {
    /// What a row says. What a newer release has written, or a hand, is [`Progress::Unknown`].
    pub fn read(self) -> LogEntry {
        let Self { job, attempt, number, at, event } = self;
        let progress = serde_json::from_str(&event).unwrap_or(Progress::Unknown);
        LogEntry { job, attempt, number, at, progress }
    }
}
