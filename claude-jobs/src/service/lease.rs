//! Keeps this node's lease; when it cannot, stops the node's runs before the lease ends.
//!
//! Elapsed time is measured on monotonic clocks: a jump of the wall clock neither ends nor stretches a lease.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::{Uptime, later};
use crate::engine::NodeRow;
use crate::error::{Error, Result};
use crate::node;
use crate::outcome::StopReason;
use crate::runtime::shared::{Registered, Shared};
use crate::telemetry::meter;

/// The longest sleep: the timer stands still while the machine is suspended, the lease does not.
const SLICE: Duration = Duration::from_secs(1);

/// A moment on two clocks, of which one goes on while the machine is suspended.
#[derive(Clone, Copy)]
struct Moment(Instant, Uptime);

impl Moment {
    fn now() -> Self {
        Self(Instant::now(), Uptime::now())
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed().max(Uptime::now().since(self.1))
    }
}

/// # Errors
///
/// [`Error::DatabaseReplaced`]: there is no lease to keep any more.
pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) -> Result<()> {
    let (every, patience) = (shared.terms.renew_every(), shared.terms.patience());
    let mut renewed = Moment::now();
    let (mut tried, mut wait) = (renewed, every);
    loop {
        while tried.elapsed() < wait {
            let rest = wait.saturating_sub(tried.elapsed());
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = sleep(rest.min(SLICE)) => {}
            }
        }
        tried = Moment::now();
        // A database that does not answer must not keep us from stopping in time.
        let limit = patience.saturating_sub(renewed.elapsed()).max(every / 3);
        let mut renewal = pin!(timeout(limit, keep(&shared)));
        let result = loop {
            tokio::select! {
                result = &mut renewal => break result,
                () = sleep(every / 6) => renewed = alone(&shared, renewed).await.unwrap_or(renewed),
            }
        };
        match result.unwrap_or_else(|_| Err(Error::Database("no answer in time".into()))) {
            Ok(()) => {
                let was_over = !shared.may_start();
                renewed = if renewed.elapsed() < tried.elapsed() { renewed } else { tried };
                extend_runs(&shared, renewed.1);
                if was_over {
                    tracing::warn!("renewed this node's lease late: claiming again");
                    shared.queue.wakes().wake_all();
                }
                wait = every;
            }
            Err(error @ Error::DatabaseReplaced { .. }) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "cannot renew this node's lease, will try again");
                meter::database_error("renew");
                renewed = alone(&shared, renewed).await.unwrap_or(renewed);
                wait = every / 15;
            }
        }
        if renewed.elapsed() >= patience {
            shared.stop_runs(StopReason::LeaseLost);
        }
    }
}

/// For a node that cannot write. If no other living node is registered, its runs may live on, and this answers with the
/// moment before that was read. The moment counts as a renewal: a node that registers later takes these jobs only after it
/// has seen this node silent for a whole lease.
async fn alone(shared: &Shared, renewed: Moment) -> Option<Moment> {
    let left = shared.terms.patience().saturating_sub(renewed.elapsed());
    let within = left.min(shared.terms.renew_every() / 6);
    let (asked, engine, own) = (Moment::now(), shared.queue.engine(), shared.node_id());
    if !engine.reads_what_all_read() {
        return None;
    }
    let nodes = timeout(within, engine.nodes()).await.ok()?.ok()?;
    let is_registered = nodes.iter().any(|node| node.id == own);
    let is_alone = is_registered && nodes.iter().all(|row| row.id == own || node::is_gone(row));
    is_alone.then(|| extend_runs(shared, asked.1))?;
    Some(asked)
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
    shared.stop_runs(StopReason::LeaseLost);
    register_anew(shared).await
}

async fn renew(shared: &Shared) -> Result<bool> {
    let mut node = shared.node.borrow().row.clone();
    node.lease_until = later(shared.queue.now(), shared.terms.lease());
    node.fault = super::gate::fault(shared.gate());
    shared.queue.engine().renew(&node, true).await
}

async fn register_anew(shared: &Shared) -> Result<()> {
    let gate = shared.gate();
    let node = NodeRow {
        account: gate.account.clone(),
        queues: gate.queues.clone(),
        fault: super::gate::fault(gate),
        ..node::this_node(shared.terms, shared.session_host(), shared.queue.now())
    };
    shared.queue.engine().renew(&node, false).await?;
    shared.node.send_replace(Registered::new(node));
    Ok(())
}

#[cfg(test)]
mod tests;
