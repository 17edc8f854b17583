//! What an operator does to jobs and queues.

use super::Database;
use super::fixture::{
    QUEUE, all_jobs, ask, at, claim, claim_one, due, end, end_with_all, fields, ids, insert, insert_all, job,
    new, open, running, settle, state,
};
use crate::engine::{Cancelled, Engine, QueueChange, QueueSettings};
use crate::error::Error;
use crate::job::{Job, JobId, State};
use crate::settlement::Settlement;

/// A job in each state, with one attempt behind it where that is possible.
async fn one_in(engine: &dyn Engine, state: State) -> Job {
    match state {
        State::Scheduled => insert(engine, due(at(0), at(500))).await,
        State::Available => insert(engine, new(at(0))).await,
        State::Executing => running(engine, new(at(0))).await,
        _ => {
            let run = running(engine, new(at(0))).await;
            let ends =
                Settlement { scheduled_at: at(500), reason: Some("why".into()), ..end(&run, state, at(1)) };
            assert!(settle(engine, ends, at(1)).await);
            job(engine, run.id).await
        }
    }
}

fn wrong_state<T: std::fmt::Debug>(answer: Result<T, Error>, job: &Job) {
    match answer {
        Err(Error::WrongState { id, state, .. }) => assert_eq!((id, state), (job.id, job.state)),
        other => panic!("`{}`: {other:?}", job.state),
    }
}

fn no_such_job<T: std::fmt::Debug>(answer: Result<T, Error>, expected: JobId) {
    assert!(matches!(answer, Err(Error::NoSuchJob(id)) if id == expected), "{answer:?}");
}

/// A waiting job is cancelled, a running one asked for, one that is over left as it is.
pub async fn cancel(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    for from in State::ALL {
        let before = one_in(&*engine, from).await;
        let answer = other.cancel(before.id, at(9)).await;
        let after = job(&*engine, before.id).await;
        let expected = match from {
            State::Executing => {
                assert_eq!(answer.expect("it runs"), Cancelled::Requested);
                assert_eq!(other.cancel(before.id, at(10)).await.expect("once more"), Cancelled::Requested);
                Job { cancel_requested: true, ..before.clone() }
            }
            from if from.is_final() => {
                wrong_state(answer, &before);
                before.clone()
            }
            _ => {
                assert_eq!(answer.expect("it waits"), Cancelled::Now);
                let reason = Some("cancelled on request".to_owned());
                Job { state: State::Cancelled, finished_at: Some(at(9)), reason, ..before.clone() }
            }
        };
        assert_eq!(fields(&after), fields(&expected), "{from}");
        if from == State::Executing {
            assert!(settle(&*engine, end(&before, State::Completed, at(11)), at(11)).await);
        }
    }
    assert!(claim(&*engine, &ask(9, at(1_000))).await.is_empty(), "none of them runs again");
    no_such_job(engine.cancel(JobId(i64::MAX), at(0)).await, JobId(i64::MAX));
    no_such_job(engine.cancel(JobId(-1), at(0)).await, JobId(-1));
}

/// A job that waits for its time or is over becomes claimable at once.
pub async fn retry(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    for from in State::ALL {
        let before = one_in(&*engine, from).await;
        let answer = other.retry(before.id, at(9)).await;
        if matches!(from, State::Available | State::Executing) {
            wrong_state(answer, &before);
            assert_eq!(fields(&job(&*engine, before.id).await), fields(&before), "{from}");
        } else {
            let after = answer.expect("it is over, or waits for its time");
            let expected = Job {
                state: State::Available,
                scheduled_at: at(9),
                finished_at: None,
                reason: None,
                ..before.clone()
            };
            assert_eq!(fields(&after), fields(&expected), "{from}");
            assert_eq!(fields(&job(&*engine, before.id).await), fields(&after), "{from}");
        }
        if from == State::Executing {
            assert!(settle(&*engine, end(&before, State::Completed, at(10)), at(10)).await);
        } else {
            assert_eq!(claim_one(&*engine, at(10)).await.attempt, before.attempt + 1, "{from}");
            let run = job(&*engine, before.id).await;
            assert!(settle(&*engine, end(&run, State::Completed, at(10)), at(10)).await);
        }
    }
    no_such_job(engine.retry(JobId(i64::MAX), at(0)).await, JobId(i64::MAX));
}

/// Whoever is retried by hand has an attempt left; who has more keeps them. The fencing token goes on.
pub async fn retry_gives_an_attempt(database: &dyn Database) {
    let engine = open(database).await;
    let row = crate::job::JobRow { max_attempts: 2, ..new(at(0)) };
    let id = insert(&*engine, row).await.id;
    for (uncounted, expected) in [(0, 2), (1, 2), (0, 3), (0, 4)] {
        let run = claim_one(&*engine, at(1)).await;
        let ends = Settlement { uncounted, ..end(&run, State::Discarded, at(1)) };
        assert!(settle(&*engine, ends, at(1)).await);
        let again = engine.retry(id, at(1)).await.expect("it is over");
        assert_eq!(again.max_attempts, expected);
        assert!(again.attempts_left() >= 1, "{again:?}");
    }
    assert_eq!(job(&*engine, id).await.attempt, 4);
}

/// A job that does not run is removed with all that belongs to it, and nothing else is.
pub async fn delete(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let kept = running(&*engine, new(at(0))).await;
    let ends = end_with_all(&kept, State::Completed, at(1));
    let ends = Settlement { follow_ons: Vec::new(), ..ends };
    assert!(settle(&*engine, ends, at(1)).await);
    for from in State::ALL {
        let before = one_in(&*engine, from).await;
        if from == State::Executing {
            wrong_state(other.delete(before.id).await, &before);
            let ends = Settlement {
                error: Some(super::fixture::failure(&before, at(2))),
                ..end(&before, State::Cancelled, at(2))
            };
            assert!(settle(&*engine, ends, at(2)).await, "it was not touched");
        }
        other.delete(before.id).await.expect("it does not run");
        assert!(engine.job(before.id).await.expect("a read").is_none(), "{from}");
        assert!(engine.runs(before.id).await.expect("a read").is_empty(), "{from}");
        assert!(engine.errors(before.id).await.expect("a read").is_empty(), "{from}");
        no_such_job(other.delete(before.id).await, before.id);
    }
    assert_eq!(ids(&all_jobs(&*engine).await), [kept.id]);
    let left = (
        engine.runs(kept.id).await.expect("a read").len(),
        engine.errors(kept.id).await.expect("a read").len(),
    );
    assert_eq!(left, (1, 1));
}

/// Settings change one at a time and are seen everywhere.
pub async fn change_queue(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    assert!(engine.queues().await.expect("a read").is_empty());
    let mut expected = QueueSettings { name: QUEUE.to_owned(), ..QueueSettings::default() };
    type Apply = fn(&mut QueueSettings);
    let steps: [(QueueChange, Apply); 7] = [
        (QueueChange::Pause, |settings| settings.paused = true),
        (QueueChange::Scale(Some(0)), |settings| settings.concurrency = Some(0)),
        (QueueChange::Pause, |_| {}),
        (QueueChange::Scale(Some(u32::MAX)), |settings| settings.concurrency = Some(u32::MAX)),
        (QueueChange::Resume, |settings| settings.paused = false),
        (QueueChange::Resume, |_| {}),
        (QueueChange::Scale(None), |settings| settings.concurrency = None),
    ];
    for (change, apply) in steps {
        apply(&mut expected);
        assert_eq!(engine.change_queue(QUEUE, change).await.expect("a change"), expected, "{change:?}");
        assert_eq!(other.queues().await.expect("a read"), [expected.clone()], "{change:?}");
    }
    let name = "'; DROP TABLE claude_jobs_queues; -- 👩‍👩‍👧";
    engine.change_queue(name, QueueChange::Pause).await.expect("a change");
    let mut names: Vec<_> =
        other.queues().await.expect("a read").into_iter().map(|queue| queue.name).collect();
    names.sort();
    assert_eq!(names, [name, QUEUE]);
}

/// Two operators at once: neither undoes the other's change.
pub async fn changes_under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for round in 1..=20 {
        let scale = engines[0].change_queue(QUEUE, QueueChange::Scale(Some(round)));
        let pause = if round % 2 == 0 { QueueChange::Pause } else { QueueChange::Resume };
        let (one, two) = tokio::join!(scale, engines[1].change_queue(QUEUE, pause));
        one.and(two).expect("two changes");
        let settings = engines[0].queues().await.expect("a read").remove(0);
        assert_eq!((settings.concurrency, settings.paused), (Some(round), round % 2 == 0), "round {round}");
    }
}

/// A cancellation and a claim at once: the job is cancelled, or it runs and somebody wants it cancelled.
pub async fn cancel_under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for _ in 0..40 {
        let id = insert(&*engines[0], new(at(0))).await.id;
        let request = ask(1, at(0));
        let (cancelled, claimed) = tokio::join!(engines[0].cancel(id, at(0)), claim(&*engines[1], &request));
        let after = job(&*engines[0], id).await;
        match cancelled.expect("it is not over") {
            Cancelled::Now => {
                assert_eq!((after.state, claimed.len(), after.attempt), (State::Cancelled, 0, 0))
            }
            Cancelled::Requested => {
                assert!(after.cancel_requested && ids(&claimed) == [id], "{after:?}");
                let run = &claimed[0];
                assert!(!settle(&*engines[0], end(run, State::Retryable, at(0)), at(0)).await);
                assert!(settle(&*engines[0], end(run, State::Cancelled, at(0)), at(0)).await);
                assert_eq!(state(&*engines[0], id).await, State::Cancelled);
            }
        }
    }
}

/// Ten jobs retried and deleted at once: each is gone or claimable, and nobody gets another error than
/// that it is.
pub async fn deletion_under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    let jobs = insert_all(&*engines[0], &vec![due(at(0), at(500)); 30]).await;
    for job in &jobs {
        let (retried, deleted) = tokio::join!(engines[0].retry(job.id, at(1)), engines[1].delete(job.id));
        deleted.expect("it does not run");
        assert!(matches!(retried, Ok(_) | Err(Error::NoSuchJob(_))), "{retried:?}");
        assert!(engines[0].job(job.id).await.expect("a read").is_none());
    }
}
