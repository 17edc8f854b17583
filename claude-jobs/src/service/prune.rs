//! Removes what is kept no longer: jobs that are over, by the runtime's [`Retention`], and old ticks of
//! schedules.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::earlier;
use crate::error::Result;
use crate::queue::Queue;
use crate::retention::Retention;
use crate::runtime::shared::Shared;
use crate::telemetry::meter;

/// How long after the start it looks first: a runtime that has just started has better to do.
const FIRST: Duration = Duration::from_secs(60);

/// How often it looks.
const EVERY: Duration = Duration::from_secs(3_600);

/// How long ticks are kept. They are records of what the schedule did; only the newest of an entry decides
/// anything, and it is never removed.
const KEEP_TICKS: Duration = Duration::from_secs(30 * 86_400);

pub(crate) async fn serve(shared: Arc<Shared>, retention: Retention, shutdown: CancellationToken) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = EVERY;
        let pruned = tokio::select! {
            () = shutdown.cancelled() => return,
            pruned = once(&shared.queue, retention) => pruned,
        };
        if let Err(error) = pruned {
            tracing::warn!(%error, "cannot prune, will try again");
            meter::database_error("prune");
        }
    }
}

/// One round. Every node may make one at the same time: each job is removed by one of them.
pub(crate) async fn once(queue: &Queue, retention: Retention) -> Result<()> {
    for (state, limit) in retention.limits() {
        let jobs = queue.prune(state, limit).await?;
        if jobs > 0 {
            tracing::info!(job.state = %state, jobs, "pruned");
        }
    }
    queue.engine().prune_ticks(earlier(queue.now(), KEEP_TICKS)).await?;
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
