//! The fence: only the run that the row stands for may change it. Whoever was superseded writes nothing.

use super::Database;
use super::fixture::{
    NODE, OTHER, QUEUE, all_jobs, ask, assert_untouched, at, claim, claim_one, end, end_with_all, fields,
    insert_all, new, node, open, run_row, running, settle, state, unique, written,
};
use crate::engine::{ClaimRequest, QueueChange};
use crate::job::{Continuation, JobId, JobRow, RunRow, State};
use crate::settlement::Settlement;

/// Another attempt, a job that does not run, a job that is not there.
pub async fn superseded_runs(database: &dyn Database) {
    let engine = open(database).await;
    let run = running(&*engine, new(at(0))).await;
    let before = all_jobs(&*engine).await;
    for attempt in [0, 2, 3, u32::MAX] {
        for target in [State::Completed, State::Retryable, State::Available] {
            let settlement = Settlement { attempt, ..end_with_all(&run, target, at(1)) };
            assert!(!settle(&*engine, settlement, at(1)).await, "attempt {attempt}");
            assert_untouched(&*engine, &before, &format!("attempt {attempt}")).await;
        }
    }
    for id in [JobId(0), JobId(-1), JobId(run.id.0 + 1), JobId(i64::MAX), JobId(i64::MIN)] {
        let settlement = Settlement { id, ..end_with_all(&run, State::Completed, at(1)) };
        assert!(!settle(&*engine, settlement, at(1)).await, "job {id}");
        assert_untouched(&*engine, &before, &format!("job {id}")).await;
    }
}

/// The same attempt, but the job no longer runs: in whichever state it is.
pub async fn jobs_that_do_not_run(database: &dyn Database) {
    let engine = open(database).await;
    for state in State::ALL.into_iter().filter(|state| *state != State::Executing) {
        let run = running(&*engine, new(at(0))).await;
        let first = Settlement { scheduled_at: at(900), ..end(&run, state, at(1)) };
        assert!(settle(&*engine, first, at(1)).await);
        let before = (fields(&all_jobs(&*engine).await), fields(&engine.runs(run.id).await.expect("a read")));
        assert!(!settle(&*engine, end_with_all(&run, State::Completed, at(2)), at(2)).await, "{state}");
        let after = (fields(&all_jobs(&*engine).await), fields(&engine.runs(run.id).await.expect("a read")));
        assert_eq!(after, before, "{state}");
        assert!(engine.errors(run.id).await.expect("a read").is_empty(), "{state}");
        assert!(engine.queues().await.expect("a read").is_empty(), "{state}");
        if !state.is_final() {
            engine.delete(run.id).await.expect("it waits");
        }
    }
}

/// Of the same run twice in one call the first counts, with all of its own and nothing of the other's.
pub async fn twice_in_one_batch(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &[new(at(0)), new(at(0))]).await;
    let runs = claim(&*engine, &ask(2, at(0))).await;
    let quiet = Settlement { reason: Some("first".to_owned()), ..end(&runs[0], State::Retryable, at(1)) };
    let loud = end_with_all(&runs[0], State::Completed, at(1));
    let batch = [quiet, loud.clone(), end(&runs[1], State::Completed, at(1)), loud];
    assert_eq!(
        written(&engine.settle(&batch, at(1)).await.expect("a settlement")),
        [true, false, true, false]
    );
    let jobs = all_jobs(&*engine).await;
    assert_eq!(jobs.len(), 2, "no follow-on");
    assert_eq!((jobs[0].state, jobs[0].reason.as_deref()), (State::Retryable, Some("first")));
    assert!(jobs[0].meta.is_empty() && jobs[0].continuation.is_empty());
    assert_eq!(engine.runs(runs[0].id).await.expect("a read").len(), 1);
    assert!(engine.errors(runs[0].id).await.expect("a read").is_empty());
    assert!(engine.queues().await.expect("a read").is_empty());
}

/// Whoever has lost the answer to a settlement says it again: it counts as settled, and nothing of it is written a
/// second time. What differs from what is written is another's.
pub async fn the_same_once_more(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &[new(at(0)), new(at(0)), new(at(0))]).await;
    let runs = claim(&*engine, &ask(3, at(0))).await;
    let loud = end_with_all(&runs[0], State::Completed, at(1));
    let batch = [loud.clone(), end(&runs[1], State::Retryable, at(1))];
    assert_eq!(written(&engine.settle(&batch, at(1)).await.expect("a settlement")), [true, true]);
    engine.change_queue(QUEUE, QueueChange::Resume).await.expect("a change");
    let second = claim_one(&*engine, at(2)).await;
    assert_eq!((second.id, second.attempt), (runs[1].id, 2));
    let before = fields(&all_jobs(&*engine).await);
    // On each of the ways that a settlement takes.
    let quiet = Settlement { follow_ons: Vec::new(), ..loud.clone() };
    let bare = Settlement {
        reason: None,
        meta: None,
        continuation: Continuation::default(),
        error: None,
        ..quiet.clone()
    };
    for (what, again) in [("with all", loud), ("quiet", quiet), ("bare", bare)] {
        let again = [again, batch[1].clone()];
        assert_eq!(
            written(&engine.settle(&again, at(3)).await.expect("a settlement")),
            [true, true],
            "{what}"
        );
        let elsewhere = ClaimRequest { queue: "empty", ..ask(1, at(3)) };
        let turn = engine.turn(&again, Some(&elsewhere), at(3)).await.expect("a turn");
        assert_eq!(written(&turn.settled), [true, true], "{what}");
        let turn = engine.turn(&again[..1], Some(&elsewhere), at(3)).await.expect("a turn");
        assert_eq!(written(&turn.settled), [true], "{what}");
        let [first, _] = again;
        for other in [
            RunRow { node: Some(OTHER.to_owned()), ..first.run.clone() },
            RunRow { node: None, ..first.run.clone() },
            RunRow { finished_at: at(2), ..first.run.clone() },
            RunRow { ending: "lost".to_owned(), ..first.run.clone() },
        ] {
            let what = format!("{what}: {other:?}");
            let other = Settlement { run: other, ..first.clone() };
            assert!(!settle(&*engine, other.clone(), at(3)).await, "{what}");
            let turn = engine.turn(&[other], Some(&elsewhere), at(3)).await.expect("a turn");
            assert_eq!(written(&turn.settled), [false], "{what}");
        }
    }
    assert_eq!(fields(&all_jobs(&*engine).await), before, "one follow-on job, and the second run goes on");
    assert_eq!(engine.runs(runs[0].id).await.expect("a read").len(), 1);
    assert_eq!(engine.errors(runs[0].id).await.expect("a read").len(), 1);
}

/// A node that was declared dead settles nothing once its job was taken back, nor when it runs again.
pub async fn after_a_rescue(database: &dyn Database) {
    let (dead, living) = (open(database).await, database.connect().await);
    let run = running(&*dead, new(at(0))).await;
    let orphans = living.orphans(&[node(NODE)]).await.expect("a look");
    assert_eq!(fields(&orphans), fields(&vec![run.clone()]));
    let lost = Settlement { reason: Some("lost".to_owned()), ..end(&orphans[0], State::Retryable, at(40)) };
    assert!(settle(&*living, lost.clone(), at(40)).await);
    let other = Settlement { run: run_row(&run, at(41)), ..lost };
    assert!(!settle(&*living, other, at(41)).await, "two rescuers: one of them");
    let late = end_with_all(&run, State::Completed, at(41));
    assert!(!settle(&*dead, late.clone(), at(41)).await);
    let request = ClaimRequest { node: OTHER, ..ask(1, at(42)) };
    let second = claim(&*living, &request).await.remove(0);
    assert_eq!((second.id, second.attempt), (run.id, 2));
    assert!(!settle(&*dead, late, at(43)).await, "another run of the same job");
    let jobs = all_jobs(&*living).await;
    assert_eq!(fields(&jobs), fields(&vec![second.clone()]));
    assert_eq!(living.runs(run.id).await.expect("a read").len(), 1);
    assert!(settle(&*living, end(&second, State::Completed, at(44)), at(44)).await);
}

/// The same node's own earlier run is as superseded as anybody's.
pub async fn the_same_node_again(database: &dyn Database) {
    let engine = open(database).await;
    let first = running(&*engine, new(at(0))).await;
    let back = Settlement { uncounted: 1, ..end(&first, State::Available, at(1)) };
    assert!(settle(&*engine, back, at(1)).await);
    let second = claim_one(&*engine, at(2)).await;
    assert_eq!((second.id, second.attempt, second.uncounted), (first.id, 2, 1));
    assert!(!settle(&*engine, end_with_all(&first, State::Cancelled, at(3)), at(3)).await);
    assert_eq!(state(&*engine, first.id).await, State::Executing);
    assert!(settle(&*engine, end(&second, State::Completed, at(4)), at(4)).await);
}

/// Many that settle the same run at once: one of them does.
pub async fn under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for _ in 0..20 {
        let run = running(&*engines[0], new(at(0))).await;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let engine = engines[task % 2].clone();
            let settlement = end_with_all(&run, State::Completed, at(task as i64));
            tasks.spawn(async move { settle(&*engine, settlement, at(1)).await });
        }
        let winners = tasks.join_all().await.into_iter().filter(|settled| *settled).count();
        assert_eq!(winners, 1);
    }
    assert_eq!(all_jobs(&*engines[0]).await.len(), 40, "one follow-on each");
}

/// Batches with the same runs, or with follow-on jobs of the same keys, in opposite order: neither waits
/// for the other for ever, and each does what is its own.
pub async fn batches_the_other_way_round(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for round in 0..20 {
        insert_all(&*engines[0], &vec![new(at(0)); 40]).await;
        let runs = claim(&*engines[0], &ask(40, at(0))).await;
        let mut tasks = tokio::task::JoinSet::new();
        for (task, engine) in engines.iter().cloned().enumerate() {
            let mut all: Vec<_> =
                runs.iter().map(|run| end(run, State::Completed, at(task as i64))).collect();
            for (number, settlement) in all.iter_mut().enumerate() {
                let key = format!("{round} {}", number % 20);
                settlement.follow_ons =
                    vec![JobRow { queue: "next".to_owned(), ..unique(&key, None, &State::ALL, at(1)) }];
            }
            let shared = if round % 2 == 0 { 10 } else { 0 };
            let own = if task == 0 { 0..20 + shared } else { 20 - shared..40 };
            let mut batch = all[own].to_vec();
            if task == 1 {
                batch.reverse();
            }
            tasks.spawn(async move {
                let settled = engine.settle(&batch, at(1)).await.expect("a settlement");
                settled.into_iter().filter(|settled| settled.is_written()).count()
            });
        }
        assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 40, "round {round}");
    }
    let jobs = all_jobs(&*engines[0]).await;
    assert_eq!(jobs.iter().filter(|job| job.queue == "next").count(), 20 * 20, "one of each key");
}
