//! What a runtime tells about its own jobs while it works: at once, uncopied, in this process.
//!
//! [`Event`](crate::event::Event) is what every node of a fleet does, read from the database. A notice has what no
//! database holds: claude's events as they were printed, the settlement with everything in it, and whether it was
//! written.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::job::Job;
use crate::settlement::Settlement;

/// Something happened to a job of this runtime, or to the runtime.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// It was claimed; its run starts.
    Started {
        /// The job.
        job: &'a Job,
    },
    /// Its claude printed an event.
    Progress {
        /// The job.
        job: &'a Job,
        /// The event, as the CLI printed it.
        event: &'a Value,
    },
    /// Its run is over.
    Settled {
        /// The job, as it was claimed.
        job: &'a Job,
        /// What became of it.
        settlement: &'a Settlement,
        /// Whether it was written: not, when another node had taken the job over.
        is_ours: bool,
    },
    /// Nothing is claimed on this node any more, or for another reason than before.
    ClaimsStopped {
        /// Why, in a line: the machine, the account, or no room for another run.
        reason: &'a str,
        /// When it is tried again, where that is known.
        until: Option<Timestamp>,
    },
    /// Jobs are claimed again.
    ClaimsResumed,
}

/// Passes notices on, if anybody listens.
#[derive(Clone, Default)]
pub(crate) struct Notify(Vec<Arc<Listener>>);

type Listener = dyn Fn(&Notice<'_>) + Send + Sync;

impl Notify {
    pub(crate) fn add(&mut self, listener: impl Fn(&Notice<'_>) + Send + Sync + 'static) {
        self.0.push(Arc::new(listener));
    }

    /// A listener that panics misses this notice; the jobs go on.
    pub(crate) fn send(&self, notice: &Notice<'_>) {
        for listener in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| listener(notice))).is_err() {
                tracing::error!("the listener for notices panicked");
            }
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Notify").field(&self.0.len()).finish()
    }
}
