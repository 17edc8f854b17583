//! Takes back the jobs of nodes that are dead: they are silent for longer than a lease, or their
//! process is gone from this machine.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::executor::rescued;
use crate::node::{self, Sightings};
use crate::runtime::shared::Shared;

const EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn serve(shared: Arc<Shared>, mut sightings: Sightings, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = once(&shared, &mut sightings).await {
            tracing::warn!(%error, "cannot look for jobs of dead nodes, will try again");
        }
    }
}

/// One round. Two nodes may rescue the same job: the fence lets one of them win.
pub(crate) async fn once(shared: &Shared, sightings: &mut Sightings) -> Result<()> {
    let (queue, engine, own) = (&shared.queue, shared.queue.engine(), shared.node_id());
    let mut others = engine.nodes().await?;
    others.retain(|node| node.id != own);
    let silent = sightings.silent(&others, Instant::now());
    let dead: Vec<_> =
        others.into_iter().filter(|node| silent.contains(&node.id) || node::is_gone(node)).collect();
    let orphans = engine.orphans(&dead).await?;
    if orphans.is_empty() {
        return Ok(());
    }
    let settlements: Vec<_> = orphans.iter().map(|job| rescued(queue, job)).collect();
    engine.settle(&settlements, queue.now()).await?;
    for job in &orphans {
        tracing::warn!(job = %job.id, attempt = job.attempt, "rescued: the node that ran it died");
    }
    queue.wake();
    Ok(())
}
