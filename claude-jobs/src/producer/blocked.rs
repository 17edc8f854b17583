//! [`Blocked`]: when to try again what the database has not taken; [`Refused`]: settlements that it takes in no form.

use std::time::Duration;

use tokio::time::Instant;

use super::turn::{Batch, Kind};
use super::{LAST_LOOK, POLL, Producer, Reconciling};
use crate::error::Error;
use crate::telemetry::{careful, meter};

/// How long to wait after a try failed: at first, and at the longest.
const AFTER_ERROR: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Set after a try that failed: when it first failed and when to try again.
pub(super) struct Blocked {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) wait: Duration,
}

impl Blocked {
    /// After another try that failed.
    pub(super) fn after(earlier: Option<&Self>) -> Self {
        let now = Instant::now();
        let (since, wait) = match earlier {
            Some(earlier) => (earlier.since, (earlier.wait * 2).min(AFTER_ERROR.1)),
            None => (now, AFTER_ERROR.0),
        };
        Self { since, until: now + wait, wait }
    }
}

impl Producer {
    pub(super) fn failed(&mut self, batch: Batch, kind: Kind, error: &Error, is_open: bool) {
        let blocked = Blocked::after(self.blocked.as_ref());
        let (since, wait) = (blocked.since, blocked.wait);
        self.blocked = Some(blocked);
        let (queue, unsettled, problem) = (&self.name, batch.len(), careful(error));
        tracing::error!(job.queue = queue, unsettled, error = %problem, "cannot reach the jobs, will try again in {wait:?}");
        meter::database_error("turn");
        if let Kind::Claim { .. } = kind {
            self.look = true;
            self.reconciling = Reconciling::after(Duration::ZERO);
        }
        // A database that is away for a while must not lose a paid result: it is written when it is
        // back. Only a runtime that is to end gives up, once its lease has run out: then the jobs are
        // another node's to rescue. To look up what may have been claimed is not worth so long a wait.
        let patience = if unsettled > 0 { self.shared.terms.lease() } else { LAST_LOOK };
        if is_open || since.elapsed() < patience {
            self.unsettled.put_back(batch);
            return;
        }
        self.reconciling = Reconciling::after(POLL);
        self.leave_to_be_rescued(unsettled);
    }

    pub(super) fn leave_to_be_rescued(&self, unsettled: usize) {
        if unsettled > 0 {
            let queue = &self.name;
            tracing::error!(job.queue = queue, unsettled, "cannot settle: left to be rescued");
        }
    }
}

/// Settlements that the database refuses in every form, until they are tried again. All others go on without them.
#[derive(Default)]
pub(super) struct Refused {
    batch: Batch,
    blocked: Option<Blocked>,
}

impl Refused {
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Those that a turn could not write, if any.
    pub(super) fn put(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.blocked = Some(Blocked::after(self.blocked.as_ref()));
            self.batch.put_back(batch);
        } else if self.batch.is_empty() {
            self.blocked = None;
        }
    }

    /// When to try again.
    pub(super) fn until(&self) -> Option<Instant> {
        self.blocked.as_ref().filter(|_| !self.is_empty()).map(|blocked| blocked.until)
    }

    /// Those to try again now.
    pub(super) fn due(&mut self) -> Batch {
        match self.until() {
            Some(until) if until <= Instant::now() => std::mem::take(&mut self.batch),
            _ => Batch::default(),
        }
    }

    /// Drops what has been refused for so long. Answers with how many.
    pub(super) fn give_up(&mut self, patience: Duration) -> usize {
        match &self.blocked {
            Some(blocked) if blocked.since.elapsed() >= patience => std::mem::take(&mut self.batch).len(),
            _ => 0,
        }
    }
}
