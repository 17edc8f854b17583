//! Takes back the jobs of nodes that are dead: they are silent for longer than a lease, or their
//! process is gone from this machine.
//!
//! What becomes of such a job is its worker's to say ([`OnLost`](crate::definition::OnLost)). A node that does not know the
//! worker leaves the job as it is, for one that does, unless somebody has asked for its cancellation; but it, too, ends
//! what is left of the run on its machine.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::claude::sweep;
use crate::clock::earlier;
use crate::engine::{NodeRow, Parts, Settled};
use crate::error::{Error, Result};
use crate::executor::marker;
use crate::job::Job;
use crate::node::{self, Sightings};
use crate::runtime::shared::Shared;
use crate::settlement::{Policy, Settlement};
use crate::telemetry::{careful, meter};

/// How often it looks, at the longest.
const EVERY: Duration = Duration::from_secs(10);

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

/// One round: the jobs of dead nodes are taken back, and sessions are released whose hosts have not been served for long.
pub(crate) async fn once(shared: &Shared, sightings: &mut Sightings) -> Result<()> {
    let own = shared.node_id();
    let now = Instant::now();
    let nodes = shared.queue.engine().nodes().await?;
    let (ours, others): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.id == own);
    let silent = sightings.silent(&others, now);
    let (dead, alive): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|node| silent.contains(&node.id) || node::is_gone(node));
    let serving: Vec<_> = ours.iter().chain(&alive).collect();
    let kept = sightings.hosts(&serving, shared.continue_within, now);
    // Both, even if one of them fails.
    let rescued = rescue(shared, &dead, sweep).await;
    if let Some(kept) = kept {
        release(shared, &kept).await?;
    }
    rescued
}

async fn release(shared: &Shared, kept: &[(String, String)]) -> Result<()> {
    let queue = &shared.queue;
    let due_before = earlier(queue.now(), shared.continue_within);
    if queue.engine().release_sessions(due_before, kept).await? > 0 {
        queue.wakes().wake_all();
    }
    Ok(())
}

async fn rescue(
    shared: &Shared,
    dead: &[NodeRow],
    sweep: impl FnOnce(Uuid, &HashSet<String>) -> usize + Send + 'static,
) -> Result<()> {
    let engine = shared.queue.engine();
    let orphans = engine.orphans(dead).await?;
    if orphans.is_empty() {
        return Ok(());
    }
    // Nothing of the old runs may live when their jobs can be claimed again. On a thread of its own: this one has the
    // lease to renew.
    let (database, markers) = (engine.database_id(), orphans.iter().map(marker).collect());
    let swept = tokio::task::spawn_blocking(move || sweep(database, &markers)).await;
    swept.map_err(|error| Error::Database(error.into()))?;
    let mut lost = Vec::new();
    let mut parts = Parts::of(&orphans);
    while let Some(part) = parts.next() {
        match ends(shared, part, dead).await {
            Ok(ends) => lost.extend(ends),
            Err(error) => parts.split(part, error)?.into_iter().for_each(|(job, error)| refused(job, &error)),
        }
    }
    let mut parts = Parts::of(&lost);
    while let Some(part) = parts.next() {
        if let Err(error) = settle(shared, part).await
            && let Some(((job, _), error)) = parts.split(part, error)?
        {
            refused(job, &error);
        }
    }
    Ok(())
}

/// What becomes of these jobs: those whose workers this node knows.
async fn ends<'a>(shared: &Shared, jobs: &'a [Job], dead: &[NodeRow]) -> Result<Vec<(&'a Job, Settlement)>> {
    let mut ends = Vec::new();
    for job in jobs {
        let policy = match shared.queue.registry().get(&job.worker) {
            Ok(registration) => Policy::of(registration.definition),
            // Somebody has given it up: it becomes cancelled, whatever its worker would say.
            Err(_) if job.cancel_requested => Policy::default(),
            Err(_) => continue,
        };
        let node = dead.iter().find(|node| job.node.as_ref() == Some(&node.id));
        let host = node.map(|node| node.session_host.clone()).filter(|host| !host.is_empty());
        let answer = shared.executor.answer_of(job).await?;
        // It looks for the session's transcript.
        let (executor, lost) = (shared.executor.clone(), job.clone());
        let end = tokio::task::spawn_blocking(move || executor.lost(&lost, policy, host, answer)).await;
        ends.push((job, end.map_err(|error| Error::Database(error.into()))?));
    }
    Ok(ends)
}

/// Two nodes may rescue the same job: the fence lets one of them win.
async fn settle(shared: &Shared, lost: &[(&Job, Settlement)]) -> Result<()> {
    let (queue, engine) = (&shared.queue, shared.queue.engine());
    let mut settlements: Vec<_> = lost.iter().map(|(_, settlement)| settlement.clone()).collect();
    let mut settled = engine.settle(&settlements, queue.now()).await?;
    for (settlement, settled) in settlements.iter_mut().zip(&mut settled) {
        if *settled == Settled::CancelRequested {
            *settlement = settlement.cancelled(queue.now());
            *settled = engine.settle(std::slice::from_ref(settlement), queue.now()).await?[0];
        }
    }
    let all = lost.iter().map(|(job, _)| job).zip(&settlements).zip(settled);
    for ((job, settlement), _) in all.filter(|(_, settled)| settled.is_written()) {
        meter::settled(job, settlement, true);
        meter::rescued(job, settlement);
        let (job, attempt, verdict) = (settlement.id, settlement.attempt, &settlement.run.verdict);
        tracing::warn!(job.id = %job, job.attempt = attempt, job.verdict = verdict, "rescued: the node that ran it died");
    }
    queue.wakes().wake_all();
    Ok(())
}

/// The others are rescued all the same; this one is tried again in the next round.
fn refused(job: &Job, error: &Error) {
    let (id, attempt) = (job.id, job.attempt);
    tracing::error!(
        job.id = %id,
        job.attempt = attempt,
        error = %careful(error),
        "cannot take this job back from its dead node, will try again: see which trigger or constraint forbids it"
    );
    meter::database_error("rescue");
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
