//! What producers and services of one runtime share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::claude::Stop;
use crate::engine::NodeRow;
use crate::executor::Executor;
use crate::job::JobId;
use crate::outcome::StopReason;
use crate::queue::Queue;

/// What producers and services of one runtime share.
pub(crate) struct Shared {
    pub(crate) executor: Executor,
    pub(crate) queue: Queue,
    /// The node we are. Another one after our lease was lost.
    pub(crate) node: watch::Sender<NodeRow>,
    /// The stop of every run of this process.
    pub(crate) runs: Mutex<HashMap<JobId, Stop>>,
}

impl Shared {
    pub(crate) fn node_id(&self) -> String {
        self.node.borrow().id.clone()
    }

    pub(crate) fn runs(&self) -> MutexGuard<'_, HashMap<JobId, Stop>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops every run.
    pub(crate) fn stop_runs(&self, reason: StopReason) {
        self.runs().values().for_each(|stop| stop.fire(reason));
    }
}
