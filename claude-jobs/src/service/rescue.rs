//! Takes back the jobs of nodes that are dead: they are silent for longer than a lease, or their
//! process is gone from this machine.
//!
//! What becomes of such a job is its worker's to say ([`OnLost`](crate::definition::OnLost)). A node that
//! does not know the worker leaves the job as it is, for one that does; but it, too, ends what is left of
//! the run on its machine.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claude::sweep;
use crate::clock::earlier;
use crate::engine::Settled;
use crate::error::Result;
use crate::executor::marker;
use crate::node::{self, Sightings};
use crate::runtime::shared::Shared;
use crate::telemetry::{careful, meter};

/// How often it looks, at the longest.
const EVERY: Duration = Duration::from_secs(10);

/// How often a dead run is swept at the most.
const MOST_ROUNDS: u32 = 100;

pub(crate) async fn serve(shared: Arc<Shared>, mut sightings: Sightings, shutdown: CancellationToken) {
    let every = EVERY.min(shared.terms.renew_every());
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if let Err(error) = once(&shared, &mut sightings).await {
            tracing::warn!(error = %careful(&error), "cannot look for jobs of dead nodes, will try again");
            meter::database_error("rescue");
        }
    }
}

/// One round, in which sessions are released, too, whose hosts have not been served for long. Two nodes may rescue the same job: the fence lets one of them win.
pub(crate) async fn once(shared: &Shared, sightings: &mut Sightings) -> Result<()> {
    let (queue, engine, own) = (&shared.queue, shared.queue.engine(), shared.node_id());
    let now = Instant::now();
    let (ours, others): (Vec<_>, Vec<_>) = engine.nodes().await?.into_iter().partition(|node| node.id == own);
    let silent = sightings.silent(&others, now);
    let (dead, alive): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|node| silent.contains(&node.id) || node::is_gone(node));
    let serving: Vec<_> = ours.iter().chain(&alive).collect();
    if let Some(kept) = sightings.hosts(&serving, shared.continue_within, now) {
        let due_before = earlier(queue.now(), shared.continue_within);
        if engine.release_sessions(due_before, &kept).await? > 0 {
            queue.wakes().wake_all();
        }
    }
    let orphans = engine.orphans(&dead).await?;
    if orphans.is_empty() {
        return Ok(());
    }
    // Nothing of the old run may live when the job can be claimed again.
    for job in &orphans {
        let mut rounds = 0;
        // One that forks while we look is found in the next round.
        while sweep(engine.database_id(), &marker(job)) > 0 && rounds < MOST_ROUNDS {
            rounds += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let mut settlements = Vec::new();
    for job in &orphans {
        let Ok(registration) = queue.registry().get(&job.worker) else { continue };
        let node = dead.iter().find(|node| job.node.as_ref() == Some(&node.id));
        let host = node.map(|node| node.session_host.clone()).filter(|host| !host.is_empty());
        let answer = shared.executor.answer_of(job).await?;
        settlements.push(shared.executor.lost(job, registration.definition, host, answer));
    }
    if settlements.is_empty() {
        return Ok(());
    }
    let mut settled = engine.settle(&settlements, queue.now()).await?;
    for (settlement, settled) in settlements.iter_mut().zip(&mut settled) {
        if *settled == Settled::CancelRequested {
            *settlement = settlement.cancelled(queue.now());
            *settled = engine.settle(std::slice::from_ref(settlement), queue.now()).await?[0];
        }
    }
    let written = settlements.iter().zip(settled).filter(|(_, settled)| settled.is_written());
    for (settlement, _) in written {
        if let Some(job) = orphans.iter().find(|job| job.id == settlement.id) {
            meter::settled(job, settlement, true);
            meter::rescued(job, settlement);
        }
        let (job, attempt, verdict) = (settlement.id, settlement.attempt, &settlement.run.verdict);
        tracing::warn!(job.id = %job, job.attempt = attempt, job.verdict = verdict, "rescued: the node that ran it died");
    }
    queue.wakes().wake_all();
    Ok(())
}
