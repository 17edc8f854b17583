//! [`Settlement`]: the exact change of a job's row that ends an attempt.
//!
//! What becomes of the job is decided in one place, `decide`: a pure function of the job, its worker's policy, what was
//! seen of the attempt, why it is over, and the present moment. Engines only write it, in one transaction, fenced by
//! `(id, attempt, executing)`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::job::{AttemptError, Continuation, Job, JobId, JobRow, RunRow, State};

mod backoff;
mod decision;
mod reason;

pub use backoff::{Backoff, MAX_BACKOFF, backoff};
pub(crate) use decision::{Cause, LOST, Policy, Seen, decide};
#[cfg(feature = "cli")]
pub(crate) use reason::without_contents;

/// Why a job was cancelled that somebody wanted cancelled.
pub(crate) const ON_REQUEST: &str = "cancelled on request";

/// The change of a row that ends an attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// The job.
    pub id: JobId,
    /// The attempt's fencing token.
    pub attempt: u32,
    /// The state it goes to.
    pub state: State,
    /// When it may run next (or when it last might, for a final state).
    pub scheduled_at: Timestamp,
    /// When it reached its final state.
    pub finished_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// By how much the number of attempts that do not count changes: 1 where this one does not, −1 where one counts
    /// after all that was to be continued and could not be.
    pub uncounted: i32,
    /// Whether a snooze was used.
    pub snoozed: bool,
    /// The job's notes, if they changed.
    pub meta: Option<Map<String, Value>>,
    /// What the next attempt takes over.
    pub continuation: Continuation,
    /// The failure, for the job's errors.
    pub error: Option<AttemptError>,
    /// The ledger row.
    pub run: RunRow,
    /// Jobs to insert with it.
    pub follow_ons: Vec<JobRow>,
}

/// What an attempt leaves besides the decision.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Remains {
    /// The ledger row.
    pub run: RunRow,
    /// The failure, for the job's errors.
    pub error: Option<AttemptError>,
    /// The job's notes, if they changed.
    pub meta: Option<Map<String, Value>>,
    /// Jobs to insert with it.
    pub follow_ons: Vec<JobRow>,
}

impl Remains {
    /// Only a ledger row.
    pub fn of(run: RunRow) -> Self {
        Self { run, error: None, meta: None, follow_ons: Vec::new() }
    }
}

impl Settlement {
    /// The continuation as rows hold it; none where there is nothing to take over.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn continuation_json(&self) -> crate::Result<Option<String>> {
        let text = (!self.continuation.is_empty()).then(|| serde_json::to_string(&self.continuation));
        text.transpose().map_err(|error| crate::Error::Database(error.into()))
    }

    /// Instead of this one, which would let the job wait again: somebody has asked for its cancellation.
    pub(crate) fn cancelled(&self, now: Timestamp) -> Self {
        Self {
            state: State::Cancelled,
            finished_at: Some(now),
            reason: Some(ON_REQUEST.to_owned()),
            snoozed: false,
            follow_ons: Vec::new(),
            continuation: Continuation::default(),
            run: RunRow { verdict: "cancel".to_owned(), ..self.run.clone() },
            ..self.clone()
        }
    }

    /// Fallback when the database rejects the settlement: cancels the job and drops everything that came from the
    /// run or its handler and may be the cause.
    pub(crate) fn bare(&self, why: &str, now: Timestamp) -> Self {
        let refused = if self.follow_ons.is_empty() { "settlement" } else { "follow-on job" };
        let mut run = self.run.clone();
        run.verdict = "cancel".to_owned();
        if self.follow_ons.is_empty() {
            (run.result, run.structured, run.last_events) = (None, None, Vec::new());
        }
        Self {
            state: State::Cancelled,
            finished_at: Some(now),
            reason: Some(format!("{refused} refused: {why}")),
            uncounted: 0,
            snoozed: false,
            follow_ons: Vec::new(),
            meta: if self.follow_ons.is_empty() { None } else { self.meta.clone() },
            continuation: Continuation::default(),
            run,
            ..self.clone()
        }
    }

    /// Where even that is rejected: without any text of the run or its handler. What the run cost and used stays.
    pub(crate) fn barest(&self, now: Timestamp) -> Self {
        let run = RunRow {
            verdict: "cancel".to_owned(),
            session_id: None,
            model: None,
            cli_version: None,
            result: None,
            structured: None,
            last_events: Vec::new(),
            environment: BTreeMap::new(),
            ..self.run.clone()
        };
        Self {
            state: State::Cancelled,
            finished_at: Some(now),
            reason: Some("settlement refused: the log of the program that ran it says why".to_owned()),
            uncounted: 0,
            snoozed: false,
            follow_ons: Vec::new(),
            meta: None,
            continuation: Continuation::default(),
            error: None,
            run,
            ..self.clone()
        }
    }

    /// The job in this state, with nothing to take over.
    fn new(state: State, reason: Option<String>, at: Timestamp, job: &Job, remains: Remains) -> Self {
        Self {
            id: job.id,
            attempt: job.attempt,
            state,
            scheduled_at: at,
            finished_at: None,
            reason,
            uncounted: 0,
            snoozed: false,
            meta: remains.meta,
            continuation: Continuation::default(),
            error: remains.error,
            run: remains.run,
            follow_ons: remains.follow_ons,
        }
    }
}

#[cfg(test)]
mod tests;
