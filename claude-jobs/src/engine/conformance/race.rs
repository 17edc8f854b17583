//! Tasks on two connections and two nodes that claim and settle against each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::{NODES, ask, at, end};
use super::random::Random;
use crate::engine::{ClaimRequest, Engine, Limits};
use crate::job::{Job, State};

/// Claims until that many jobs are claimed, with batches of random size. Answers with the batches.
pub(super) async fn claim_all(engines: &[Arc<dyn Engine>; 2], jobs: usize, most: usize) -> Vec<Vec<Job>> {
    let claimed = Arc::new(AtomicUsize::new(0));
    let mut random = Random::new();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let (engine, claimed, mut random) =
            (Arc::clone(&engines[task % 2]), Arc::clone(&claimed), random.split());
        tasks.spawn(async move {
            let mut batches = Vec::new();
            while claimed.load(Ordering::SeqCst) < jobs {
                let most = 1 + random.below(most) as u32;
                let request = ClaimRequest { node: NODES[task % 2], ..ask(most, at(0)) };
                let batch = engine.claim(&request).await.expect("a claim").jobs;
                claimed.fetch_add(batch.len(), Ordering::SeqCst);
                batches.push(batch);
            }
            batches
        });
    }
    tasks.join_all().await.concat()
}

/// What a race under limits has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    running: AtomicUsize,
    /// The most jobs between a claim's answer and their settlement.
    pub(super) most: AtomicUsize,
    done: AtomicUsize,
}

/// Claims under limits and settles, until that many jobs are done. `watch` is told of each job twice: when
/// it starts and when it is about to end.
pub(super) async fn run_all(
    engines: &[Arc<dyn Engine>; 2],
    limits: Limits,
    queues: &'static [&'static str],
    jobs: usize,
    watch: impl Fn(&Job, Change) + Send + Sync + Clone + 'static,
) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let mut random = Random::new();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6 {
        let (engine, seen, mut random) = (Arc::clone(&engines[task % 2]), Arc::clone(&seen), random.split());
        let watch = watch.clone();
        tasks.spawn(async move {
            while seen.done.load(Ordering::SeqCst) < jobs {
                let queue = random.pick(queues);
                let request = ClaimRequest { queue, node: NODES[task % 2], limits, ..ask(1, at(0)) };
                let batch = engine.claim(&request).await.expect("a claim").jobs;
                let now_running = seen.running.fetch_add(batch.len(), Ordering::SeqCst) + batch.len();
                seen.most.fetch_max(now_running, Ordering::SeqCst);
                batch.iter().for_each(|job| watch(job, Change::Start));
                tokio::task::yield_now().await;
                batch.iter().for_each(|job| watch(job, Change::End));
                seen.running.fetch_sub(batch.len(), Ordering::SeqCst);
                let ends: Vec<_> = batch.iter().map(|job| end(job, State::Completed, at(0))).collect();
                let settled = engine.settle(&ends, at(0)).await.expect("a settlement");
                assert!(settled.iter().all(|settled| settled.is_written()));
                seen.done.fetch_add(batch.len(), Ordering::SeqCst);
            }
        });
    }
    tasks.join_all().await;
    seen
}

/// What becomes of a job in [`run_all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Start,
    End,
}
