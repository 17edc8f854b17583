//! Takes back the jobs of nodes that are dead: their lease has run out, or their process is gone from
//! this machine.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::executor::rescued;
use crate::node;
use crate::runtime::shared::Shared;

const EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = once(&shared).await {
            tracing::warn!(%error, "cannot look for jobs of dead nodes, will try again");
        }
    }
}

/// One round. Two nodes may rescue the same job: the fence lets one of them win.
pub(crate) async fn once(shared: &Shared) -> Result<()> {
    let (queue, engine) = (&shared.queue, shared.queue.engine());
    let gone =
        engine.nodes().await?.into_iter().filter(node::is_gone).map(|node| node.id).collect::<Vec<_>>();
    let orphans = engine.orphans(&gone, queue.now()).await?;
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
