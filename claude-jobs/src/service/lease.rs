//! Keeps this node's lease; when it cannot, stops the node's runs before the lease ends.
//!
//! Elapsed time is measured on the monotonic clock: a jump of the wall clock neither ends nor
//! stretches a lease.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::{Uptime, later};
use crate::error::Result;
use crate::node::{self, LEASE, MARGIN, RENEW_EVERY, SKEW};
use crate::outcome::StopReason;
use crate::runtime::shared::Shared;

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut renewed = Instant::now();
    let mut next = renewed + RENEW_EVERY;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep_until(next) => {}
        }
        let (asked, asked_uptime) = (Instant::now(), Uptime::now());
        match renew(&shared).await {
            Ok(true) => {
                extend_runs(&shared, asked_uptime);
                (renewed, next) = (asked, asked + RENEW_EVERY);
            }
            Ok(false) => {
                tracing::error!("this node was declared dead: stopping its runs and starting over");
                shared.stop_runs(StopReason::Shutdown);
                if register_anew(&shared).await.is_ok() {
                    extend_runs(&shared, asked_uptime);
                    renewed = asked;
                }
                next = asked + RENEW_EVERY / 5;
            }
            Err(error) => {
                tracing::error!(%error, "cannot renew this node's lease, will try again");
                next = asked + RENEW_EVERY / 15;
            }
        }
        if renewed.elapsed() + MARGIN >= LEASE {
            shared.stop_runs(StopReason::Shutdown);
        }
    }
}

/// Lets the runs live while the lease does that was asked for at this moment. Their supervisors hold us
/// to it when we cannot.
pub(crate) fn extend_runs(shared: &Shared, asked: Uptime) {
    shared.executor.lease.extend(asked.plus(LEASE).minus(SKEW));
}

async fn renew(shared: &Shared) -> Result<bool> {
    let mut node = shared.node.borrow().clone();
    node.lease_until = later(shared.queue.now(), LEASE);
    shared.queue.engine().renew(&node, true).await
}

async fn register_anew(shared: &Shared) -> Result<()> {
    let node = node::this_node(shared.queue.now());
    shared.queue.engine().renew(&node, false).await?;
    shared.node.send_replace(node);
    Ok(())
}
