//! The removal of jobs that are over for long.

use std::collections::HashSet;

use super::Database;
use super::fixture::{
    all_jobs, ask, at, claim, due, end, end_with_all, ids, insert_all, insert_each, just_before, new, open,
    running, settle, unique,
};
use crate::engine::Engine;
use crate::job::{Job, State};
use crate::settlement::Settlement;

const FINAL: [State; 3] = [State::Completed, State::Discarded, State::Cancelled];

/// Jobs that ended in this state, one a second.
async fn over(engine: &dyn Engine, state: State, count: usize) -> Vec<Job> {
    insert_all(engine, &vec![new(at(0)); count]).await;
    let runs = claim(engine, &ask(count as u32, at(0))).await;
    let ends: Vec<_> = (runs.iter().zip(1..))
        .map(|(run, second)| {
            let all = end_with_all(run, state, at(second));
            Settlement { follow_ons: Vec::new(), ..all }
        })
        .collect();
    engine.settle(&ends, at(0)).await.expect("a settlement");
    runs
}

/// Jobs of that state that ended before, the oldest first, with all that belongs to them.
pub async fn by_state_and_age(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let mut left: HashSet<_> = HashSet::new();
    for state in FINAL {
        let jobs = over(&*engine, state, 10).await;
        left.extend(ids(&jobs));
        assert_eq!(other.prunable(state, at(1)).await.expect("a count"), 0, "not before the first");
        assert_eq!(other.prunable(state, at(8)).await.expect("a count"), 7);
        assert_eq!(other.prune(state, at(1), 99).await.expect("a prune"), 0);
        assert_eq!(other.prune(state, at(8), 0).await.expect("a prune"), 0, "none are asked for");
        for (limit, expected) in [(2, 2), (4, 4), (4, 1), (4, 0)] {
            assert_eq!(other.prune(state, at(8), limit).await.expect("a prune"), expected, "{state}");
        }
        left.retain(|id| jobs[..7].iter().all(|job| job.id != *id));
        for job in &jobs {
            let is_left = left.contains(&job.id);
            assert_eq!(engine.job(job.id).await.expect("a read").is_some(), is_left, "{state}");
            assert_eq!(engine.runs(job.id).await.expect("a read").len(), usize::from(is_left), "{state}");
            assert_eq!(engine.errors(job.id).await.expect("a read").len(), usize::from(is_left), "{state}");
        }
        assert_eq!(other.prunable(state, at(8)).await.expect("a count"), 0);
    }
    assert_eq!(all_jobs(&*engine).await.len(), left.len(), "the other states' are untouched");
}

/// The oldest go first, not the lowest numbers.
pub async fn oldest_first(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 6]).await;
    let runs = claim(&*engine, &ask(6, at(0))).await;
    for (run, second) in runs.iter().zip([50, 10, 40, 20, 60, 30]) {
        assert!(settle(&*engine, end(run, State::Completed, at(second)), at(second)).await);
    }
    for gone in [1, 3, 5, 2, 0] {
        assert_eq!(engine.prune(State::Completed, at(60), 1).await.expect("a prune"), 1);
        assert!(engine.job(runs[gone].id).await.expect("a read").is_none(), "{gone}");
    }
    assert_eq!(engine.prune(State::Completed, at(60), 1).await.expect("a prune"), 0, "not before");
    assert_eq!(ids(&all_jobs(&*engine).await), [runs[4].id]);
}

/// What is not over is never removed, nor what was over once and runs again.
pub async fn nothing_that_lives(database: &dyn Database) {
    let engine = open(database).await;
    let again = running(&*engine, new(at(0))).await;
    assert!(settle(&*engine, end(&again, State::Completed, at(1)), at(1)).await);
    engine.retry(again.id, at(2)).await.expect("it is over");
    running_again(&*engine, &again).await;
    insert_all(&*engine, &[new(at(0)), due(at(0), at(5))]).await;
    let retryable = claim(&*engine, &ask(1, at(0))).await.remove(0);
    let back = Settlement { scheduled_at: at(100), ..end(&retryable, State::Retryable, at(1)) };
    assert!(settle(&*engine, back, at(1)).await);
    for state in FINAL {
        assert_eq!(engine.prunable(state, at(9_999)).await.expect("a count"), 0, "{state}");
        assert_eq!(engine.prune(state, at(9_999), 99).await.expect("a prune"), 0, "{state}");
    }
    assert_eq!(all_jobs(&*engine).await.len(), 3);
}

async fn running_again(engine: &dyn Engine, job: &Job) {
    assert_eq!(ids(&claim(engine, &ask(1, at(2))).await), [job.id]);
}

/// A key goes with the job that held it.
pub async fn keys_go_along(database: &dyn Database) {
    let engine = open(database).await;
    let row = || unique("a", None, &State::ALL, at(0));
    let job = running(&*engine, row()).await;
    assert!(settle(&*engine, end(&job, State::Completed, at(1)), at(1)).await);
    assert_eq!(engine.prune(State::Completed, just_before(at(1)), 9).await.expect("a prune"), 0);
    assert!(insert_each(&*engine, &[row()]).await[0].duplicate);
    assert_eq!(engine.prune(State::Completed, at(2), 9).await.expect("a prune"), 1);
    assert!(!insert_each(&*engine, &[row()]).await[0].duplicate);
}

/// Two that prune at once remove each job once.
pub async fn under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    over(&*engines[0], State::Completed, 500).await;
    let mut tasks = tokio::task::JoinSet::new();
    for engine in engines.clone() {
        tasks.spawn(async move {
            let mut removed = 0;
            loop {
                match engine.prune(State::Completed, at(9_999), 30).await.expect("a prune") {
                    0 => return removed,
                    more => removed += more,
                }
            }
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u64>(), 500);
    assert!(all_jobs(&*engines[0]).await.is_empty());
}
