//! What an engine tells those who follow the fleet: how many jobs there are, the runs of now, and the ledger in the order of its commits.

use jiff::Timestamp;
use serde::Serialize;

use crate::event::Cursor;
use crate::job::{JobId, RunRow, State};

/// How many jobs of a queue are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Count {
    /// The queue.
    pub queue: String,
    /// The state.
    pub state: State,
    /// How many.
    pub jobs: u64,
}

/// A run that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningRun {
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: u32,
    /// Its queue.
    pub queue: String,
    /// Its worker.
    pub worker: String,
    /// The node that runs it.
    pub node: Option<String>,
    /// When it was claimed.
    pub started_at: Timestamp,
}

/// A run in the ledger.
#[derive(Clone, Debug)]
pub struct LedgerRun {
    /// The job.
    pub job: JobId,
    /// Its queue.
    pub queue: String,
    /// Its worker.
    pub worker: String,
    /// The job's state, where this is still its last attempt and over.
    pub state: Option<State>,
    /// The run.
    pub run: RunRow,
    /// The ledger goes on from here after this run.
    pub cursor: Cursor,
}

/// A part of the ledger.
#[derive(Clone, Debug)]
pub struct LedgerPage {
    /// Its runs.
    pub runs: Vec<LedgerRun>,
    /// The ledger goes on from here.
    pub cursor: Cursor,
    /// Whether there is more at this moment.
    pub has_more: bool,
}
