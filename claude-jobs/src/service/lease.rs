//! Keeps this node's lease; when it cannot, stops the node's runs before the lease ends.
//!
//! Elapsed time is measured on the monotonic clock: a jump of the wall clock neither ends nor
//! stretches a lease.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::{Uptime, later};
use crate::error::{Error, Result};
use crate::node;
use crate::outcome::StopReason;
use crate::runtime::shared::{Registered, Shared};
use crate::telemetry::meter;

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    let (every, patience) = (shared.terms.renew_every(), shared.terms.patience());
    let mut renewed = Instant::now();
    let mut next = renewed + every;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep_until(next) => {}
        }
        let (asked, asked_uptime) = (Instant::now(), Uptime::now());
        // A database that does not answer must not keep us from stopping in time.
        let limit = (renewed + patience).max(asked + every / 3);
        let kept = timeout_at(limit, keep(&shared)).await;
        match kept.unwrap_or_else(|_| Err(Error::Database("no answer in time".into()))) {
            Ok(()) => {
                extend_runs(&shared, asked_uptime);
                (renewed, next) = (asked, asked + every);
            }
            Err(error) => {
                tracing::error!(%error, "cannot renew this node's lease, will try again");
                meter::database_error("renew");
                next = asked + every / 15;
            }
        }
        if renewed.elapsed() >= patience {
            shared.stop_runs(StopReason::Shutdown);
        }
    }
}

/// Lets the runs live while the lease does that was asked for at this moment. Their supervisors hold us
/// to it when we cannot.
pub(crate) fn extend_runs(shared: &Shared, asked: Uptime) {
    shared.node.borrow().lease.extend(asked.plus(shared.terms.life_of_runs()));
}

/// Renews the lease. A node that was declared dead stops its runs and becomes another node.
async fn keep(shared: &Shared) -> Result<()> {
    if renew(shared).await? {
        if let Err(error) = shared.queue.set_clock().await {
            tracing::warn!(%error, "cannot compare the clocks, will try again");
            meter::database_error("clock");
        }
        return Ok(());
    }
    tracing::error!("this node was declared dead: stopping its runs and starting over");
    meter::lease_lost();
    shared.stop_runs(StopReason::Shutdown);
    register_anew(shared).await
}

async fn renew(shared: &Shared) -> Result<bool> {
    let mut node = shared.node.borrow().row.clone();
    node.lease_until = later(shared.queue.now(), shared.terms.lease());
    shared.queue.engine().renew(&node, true).await
}

async fn register_anew(shared: &Shared) -> Result<()> {
    let node = node::this_node(shared.terms, shared.queue.now());
    shared.queue.engine().renew(&node, false).await?;
    shared.node.send_replace(Registered::new(node));
    Ok(())
}

#[cfg(test)]
mod tests;
