//! Takes back the jobs of nodes that are dead: they are silent for longer than a lease, or their
//! process is gone from this machine.
//!
//! What becomes of such a job is its worker's to say ([`OnLost`](crate::definition::OnLost)). A node that does not know the
//! worker leaves the job as it is, for one that does, unless somebody has asked for its cancellation; but it, too, ends
//! what is left of the run on its machine.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::claude::sweep;
use crate::clock::earlier;
use crate::engine::{Settled, is_forbidden};
use crate::error::{Error, Result};
use crate::executor::marker;
use crate::job::Job;
use crate::node::{self, Sightings};
use crate::runtime::shared::Shared;
use crate::settlement::{Policy, Settlement};
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
    end_leftovers(engine.database_id(), &orphans).await?;
    let mut settlements = Vec::new();
    for job in &orphans {
        let policy = match queue.registry().get(&job.worker) {
            Ok(registration) => Policy::of(registration.definition),
            // Somebody has given it up: it becomes cancelled, whatever its worker would say.
            Err(_) if job.cancel_requested => Policy::default(),
            Err(_) => continue,
        };
        let node = dead.iter().find(|node| job.node.as_ref() == Some(&node.id));
        let host = node.map(|node| node.session_host.clone()).filter(|host| !host.is_empty());
        let answer = shared.executor.answer_of(job).await?;
        settlements.push(shared.executor.lost(job, policy, host, answer));
    }
    if settlements.is_empty() {
        return Ok(());
    }
    let settled = settle(shared, &mut settlements).await?;
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

/// Ends what the runs of these jobs have left on this machine: nothing of it may live when the jobs can be claimed again.
async fn end_leftovers(database: Uuid, orphans: &[Job]) -> Result<()> {
    let markers: Vec<String> = orphans.iter().map(marker).collect();
    let ended = tokio::task::spawn_blocking(move || {
        // One that forks while we look is found in the next round.
        for _ in 0..MOST_ROUNDS {
            if sweep(database, &markers) == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    // Its thread is gone: nothing can be said of what is left.
    ended.await.map_err(|error| Error::Database(error.into()))
}

/// Settles all of them. One that the database refuses is told, and keeps none of the others from it.
async fn settle(shared: &Shared, settlements: &mut [Settlement]) -> Result<Vec<Settled>> {
    let (engine, now) = (shared.queue.engine(), shared.queue.now());
    let mut settled = match engine.settle(settlements, now).await {
        Err(error) if is_forbidden(&error) => return Ok(settle_each(shared, settlements).await),
        settled => settled?,
    };
    for (settlement, settled) in settlements.iter_mut().zip(&mut settled) {
        if *settled == Settled::CancelRequested {
            *settlement = settlement.cancelled(now);
            *settled = engine.settle(std::slice::from_ref(settlement), now).await?[0];
        }
    }
    Ok(settled)
}

/// One by one. What cannot be written at all is tried again in the next round.
async fn settle_each(shared: &Shared, settlements: &mut [Settlement]) -> Vec<Settled> {
    let mut all = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let settled = match shared.settle_with_fallback(settlement).await {
            Ok((Settled::CancelRequested, _)) => {
                let cancelled = settlement.cancelled(shared.queue.now());
                shared.settle_with_fallback(&cancelled).await.map(|(settled, _)| (settled, Some(cancelled)))
            }
            settled => settled,
        };
        all.push(match settled {
            Ok((settled, instead)) => {
                *settlement = instead.unwrap_or_else(|| settlement.clone());
                settled
            }
            Err(error) => {
                let id = settlement.id;
                tracing::error!(job.id = %id, error = %careful(&error), "cannot rescue a job, will try again");
                Settled::Superseded
            }
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// On a runtime of one thread.
    #[tokio::test]
    async fn the_sweep_leaves_the_thread_to_others() {
        let turns = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counting.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        tokio::task::yield_now().await;
        let before = turns.load(Ordering::Relaxed);
        end_leftovers(Uuid::now_v7(), &[]).await.expect("its thread lives");
        assert!(turns.load(Ordering::Relaxed) > before + 1, "nothing else went on");
        other.abort();
    }
}
