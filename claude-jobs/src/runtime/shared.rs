//! What producers and services of one runtime share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::claude::{Lease, Stop};
use crate::engine::{BusyLook, NodeRow};
use crate::executor::Executor;
use crate::job::JobId;
use crate::node::{KILLING, Terms};
use crate::outcome::StopReason;
use crate::queue::Queue;
use crate::runtime::gate::Gate;

/// For how long a job that is to continue a session waits for a node that has it, unless the runtime says otherwise.
pub(crate) const CONTINUE_WITHIN: Duration = Duration::from_secs(600);

/// What producers and services of one runtime share.
pub(crate) struct Shared {
    pub(crate) executor: Executor,
    pub(crate) queue: Queue,
    /// How long our lease is.
    pub(crate) terms: Terms,
    /// For how long a job that is to continue a session waits for a node that has it.
    pub(crate) continue_within: Duration,
    /// The node we are. Another one after our lease was lost.
    pub(crate) node: watch::Sender<Registered>,
    /// The stop of every run of this process, by job and attempt: a job that was taken away from us may
    /// come back to us while its old run still ends.
    pub(crate) runs: Mutex<HashMap<(JobId, u32), Stop>>,
}

/// A node, and the lease of the runs that are its own. A run never passes to another.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) row: NodeRow,
    pub(crate) lease: Lease,
}

impl Registered {
    pub(crate) fn new(row: NodeRow) -> Self {
        Self { row, lease: Lease::default() }
    }
}

impl Shared {
    /// A registered node with nothing to run.
    #[cfg(test)]
    pub(crate) async fn of(queue: Queue) -> crate::Result<Self> {
        let node = crate::node::this_node(Terms::DEFAULT, crate::claude::host_name(), queue.now());
        queue.engine().renew(&node, false).await?;
        let claude = std::sync::Arc::new(crate::claude::ClaudeCli::default());
        let executor = Executor {
            engine: Some(std::sync::Arc::clone(queue.engine())),
            ..Executor::of(queue.known().clone(), claude)
        };
        let terms = Terms::DEFAULT;
        Ok(Self {
            executor,
            queue,
            terms,
            continue_within: CONTINUE_WITHIN,
            node: watch::channel(Registered::new(node)).0,
            runs: Mutex::default(),
        })
    }

    /// What may be claimed.
    pub(crate) fn gate(&self) -> &Gate {
        &self.executor.gate
    }

    /// How many runs there are on this node.
    pub(crate) fn running(&self) -> u32 {
        u32::try_from(self.runs().len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn node_id(&self) -> String {
        self.node.borrow().row.id.clone()
    }

    /// Whether jobs of these queues run, on any node, or could be claimed here.
    pub(crate) async fn is_busy(&self, queues: &[&str]) -> crate::Result<bool> {
        let look = BusyLook {
            queues,
            workers: &self.executor.workers(),
            host: &self.session_host(),
            now: self.queue.now(),
        };
        self.queue.engine().is_busy(&look).await
    }

    /// Where our sessions are.
    pub(crate) fn session_host(&self) -> String {
        self.node.borrow().row.session_host.clone()
    }

    /// The lease of a run that was claimed for that node; none when we no longer are that node.
    pub(crate) fn lease_of(&self, node: Option<&str>) -> Option<Lease> {
        let registered = self.node.borrow();
        (node == Some(registered.row.id.as_str())).then(|| registered.lease.clone())
    }

    /// Whether our lease lasts. A run that starts when it is over, or nearly so, is ended before it has done anything.
    pub(crate) fn may_start(&self) -> bool {
        let to_end = self.executor.claude.grace().saturating_add(KILLING);
        self.node.borrow().lease.lasts(to_end.max(self.terms.life_of_runs() - self.terms.patience()))
    }

    pub(crate) fn runs(&self) -> MutexGuard<'_, HashMap<(JobId, u32), Stop>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops every run.
    pub(crate) fn stop_runs(&self, reason: StopReason) {
        self.runs().values().for_each(|stop| stop.fire(reason));
    }
}
