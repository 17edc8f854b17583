//! [`Running`]: a started runtime, and how it is taken down in order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::tasks::{Breakdown, Tasks};
use crate::error::Result;
use crate::outcome::StopReason;
use crate::registry::BoxFuture;

/// How often runs are told to stop when nothing waits for them any more.
const STOP_AGAIN: Duration = Duration::from_millis(250);

/// A started runtime.
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    /// The queues it serves.
    pub(super) names: Vec<String>,
    /// Cancelled when producers are to claim no more.
    pub(super) claiming: CancellationToken,
    pub(super) producers: Tasks,
    /// Cancelled when the services are to end.
    pub(super) shutdown: CancellationToken,
    pub(super) services: Tasks,
    /// Cancelled when the service that renews the lease has ended.
    pub(super) lease_ended: CancellationToken,
    pub(super) breakdown: Breakdown,
    /// One per producer: true while its queue has nothing due and it runs nothing.
    pub(super) idle: Vec<watch::Receiver<bool>>,
}

impl Running {
    /// Resolves when no producer has anything to do and no other node runs a job of our queues. The
    /// producers' word is not enough: one may not have looked yet since another's job has settled.
    pub(super) async fn idle(&self) {
        loop {
            for idle in &self.idle {
                // An error means that the producer has ended, which is idle enough.
                let _ = idle.clone().wait_for(|idle| *idle).await;
            }
            let still_idle = self.idle.iter().all(|idle| *idle.borrow());
            // Twice: what became due while the first answer was on its way was not yet due when that was asked
            // for, nor is it running any more.
            let gives_up = self.shared.gate().gives_up(self.shared.queue.now());
            if still_idle && (gives_up || !self.is_busy().await && !self.is_busy().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Resolves once a producer or a service has panicked, or has ended although nobody had told it to.
    pub(super) async fn broke_down(&self) {
        self.breakdown.happened().await;
    }

    async fn is_busy(&self) -> bool {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        self.shared.is_busy(&names).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell whether jobs are left");
            true
        })
    }

    /// As [`shut_down`](Self::shut_down), on the heap: see `RuntimeBuilder::started`.
    pub(super) fn ended(
        self,
        grace: Duration,
        stop_runs: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.shut_down(grace, stop_runs))
    }

    /// No more claims; running jobs finish within the grace or are stopped and given back; then the
    /// services end and the node signs off.
    async fn shut_down(
        mut self,
        grace: Duration,
        stop_runs: Pin<Box<dyn Future<Output = ()> + Send>>,
    ) -> Result<()> {
        self.claiming.cancel();
        let finished = self.producers.ended();
        tokio::pin!(finished);
        let in_time = tokio::select! {
            () = &mut finished => true,
            () = tokio::time::sleep(grace) => false,
            () = stop_runs => false,
            // Nobody renews the lease any more: what still runs is stopped while it can be settled.
            () = self.lease_ended.cancelled() => false,
        };
        let mut is_over = in_time;
        while !is_over {
            // More than once: one may have started in the very moment in which the others were stopped.
            self.shared.stop_runs(StopReason::Shutdown);
            is_over = timeout(STOP_AGAIN, &mut finished).await.is_ok();
        }
        self.shutdown.cancel();
        self.services.ended().await;
        // Runs of a producer that panicked may still be ending: nobody may take their jobs over before the lease has run
        // out.
        let has_runs = !self.shared.runs().is_empty();
        let retired = match has_runs {
            true => Ok(()),
            false => self.shared.queue.engine().retire(&self.shared.node_id()).await,
        };
        self.breakdown.take().map_or(retired, Err)
    }
}

impl Drop for Running {
    /// A dropped runtime stops its runs too. They end on their own thread; their jobs are rescued once
    /// the lease has run out, because nobody is left to settle them.
    fn drop(&mut self) {
        // First, so that no producer settles a run that ends because of this.
        self.producers.abort();
        self.shared.stop_runs(StopReason::Shutdown);
        self.shutdown.cancel();
    }
}
