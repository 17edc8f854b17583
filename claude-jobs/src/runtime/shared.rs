//! What producers and services of one runtime share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::claude::Stop;
use crate::engine::NodeRow;
use crate::executor::Executor;
use crate::job::JobId;
use crate::node::Terms;
use crate::outcome::StopReason;
use crate::queue::Queue;

/// What producers and services of one runtime share.
pub(crate) struct Shared {
    pub(crate) executor: Executor,
    pub(crate) queue: Queue,
    /// How long our lease is.
    pub(crate) terms: Terms,
    /// The node we are. Another one after our lease was lost.
    pub(crate) node: watch::Sender<NodeRow>,
    /// The stop of every run of this process, by job and attempt: a job that was taken away from us may
    /// come back to us while its old run still ends.
    pub(crate) runs: Mutex<HashMap<(JobId, u32), Stop>>,
}

impl Shared {
    /// A registered node with nothing to run.
    #[cfg(test)]
    pub(crate) async fn of(queue: Queue) -> crate::Result<Self> {
        let node = crate::node::this_node(Terms::DEFAULT, queue.now());
        queue.engine().renew(&node, false).await?;
        let executor = Executor {
            queue: queue.clone(),
            claude: std::sync::Arc::new(crate::claude::ClaudeCli::default()),
            defaults: crate::options::ArgMap::new(),
            notify: crate::notice::Notify::default(),
            lease: crate::claude::Lease::default(),
        };
        let terms = Terms::DEFAULT;
        Ok(Self { executor, queue, terms, node: watch::channel(node).0, runs: Mutex::default() })
    }

    pub(crate) fn node_id(&self) -> String {
        self.node.borrow().id.clone()
    }

    pub(crate) fn runs(&self) -> MutexGuard<'_, HashMap<(JobId, u32), Stop>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops every run.
    pub(crate) fn stop_runs(&self, reason: StopReason) {
        self.runs().values().for_each(|stop| stop.fire(reason));
    }
}
