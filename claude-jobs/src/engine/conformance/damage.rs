//! What others write into the tables, and what the database does not take.

use super::Database;
use super::fixture::{
    all_jobs, ask, assert_untouched, at, claim, end, end_with_all, failure, fields, ids, insert, insert_all,
    job, new, open, run_row, running, settle, state, unique, written,
};
use crate::engine::{ClaimRequest, Filter, was_refused};
use crate::job::{AttemptError, Job, JobRow, State};
use crate::settlement::Settlement;

const REFUSED: &str = "Refused";

/// A row that cannot be read says so, is claimed and settled like any other, and hides none.
pub async fn unreadable_rows(database: &dyn Database) {
    let engine = open(database).await;
    let table = [
        ("input", "'{'"),
        ("input", "'nul'"),
        ("args", "'[]'"),
        ("args", "'{'"),
        ("args", "'7'"),
        ("meta", "'[]'"),
        ("meta", "''"),
        ("tags", "'{}'"),
        ("tags", "'[1]'"),
        ("tags", "'\"red\"'"),
        ("priority", "-1"),
        ("priority", "10"),
        ("priority", "300"),
        ("max_attempts", "0"),
        ("max_attempts", "-3"),
        ("max_snoozes", "-1"),
    ];
    let mut seen = 0;
    for (number, (column, literal)) in table.into_iter().enumerate() {
        let queue = format!("q{number}");
        let row = JobRow { queue: queue.clone(), tags: vec!["red".to_owned()], ..new(at(0)) };
        let jobs = insert_all(&*engine, &[row.clone(), row]).await;
        if !database.overwrite(jobs[0].id, column, literal).await {
            engine.delete(jobs[0].id).await.expect("it waits");
            continue;
        }
        seen += 1;
        let what = format!("{column} = {literal}");
        let damaged = job(&*engine, jobs[0].id).await;
        assert!(damaged.damage.as_ref().is_some_and(|damage| damage.contains(column)), "{what}: {damaged:?}");
        let filter = Filter { queue: Some(queue.clone()), ..Filter::default() };
        assert_eq!(ids(&engine.jobs(&filter).await.expect("a list")), [jobs[1].id, jobs[0].id], "{what}");
        let filter = Filter { tag: Some("red".to_owned()), ..filter };
        assert!(ids(&engine.jobs(&filter).await.expect("a list")).contains(&jobs[1].id), "{what}");
        let mut claimed = claim(&*engine, &ClaimRequest { queue: &queue, ..ask(9, at(0)) }).await;
        claimed.sort_by_key(|job| job.id);
        assert_eq!(ids(&claimed), ids(&jobs), "{what}");
        assert_eq!((&claimed[0].damage, &claimed[1].damage), (&damaged.damage, &None), "{what}");
        assert_eq!(engine.held(super::fixture::NODE, &queue).await.expect("a read").len(), 2, "{what}");
        assert!(settle(&*engine, end(&claimed[0], State::Cancelled, at(1)), at(1)).await, "{what}");
        assert_eq!(engine.runs(jobs[0].id).await.expect("a read").len(), 1, "{what}");
        assert!(settle(&*engine, end(&claimed[1], State::Completed, at(1)), at(1)).await, "{what}");
    }
    assert!(seen >= 6, "the columns take some of it: {seen}");
    assert_eq!(all_jobs(&*engine).await.iter().filter(|job| job.damage.is_some()).count(), seen);
}

/// A number by which no run could be settled cannot be written.
pub async fn numbers_out_of_bounds(database: &dyn Database) {
    let engine = open(database).await;
    let id = insert(&*engine, new(at(0))).await.id;
    for column in ["attempt", "uncounted", "snoozes"] {
        for literal in ["-1", "4294967296", "9223372036854775807"] {
            assert!(!database.overwrite(id, column, literal).await, "{column} = {literal}");
        }
    }
    assert!(!database.overwrite(id, "state", "'lost'").await, "a state that there is not");
    assert_eq!(job(&*engine, id).await.damage, None);
}

/// At their upper bound the counters stay where they are; the run is settled all the same.
pub async fn numbers_at_their_bounds(database: &dyn Database) {
    let engine = open(database).await;
    let id = insert(&*engine, new(at(0))).await.id;
    for column in ["attempt", "uncounted", "snoozes"] {
        assert!(database.overwrite(id, column, "4294967295").await, "{column}");
    }
    // More than once: an attempt that stays the same may have a ledger row already.
    for _ in 0..2 {
        let run = claim(&*engine, &ask(1, at(0))).await.remove(0);
        assert_eq!(run.attempt, u32::MAX);
        let ends = Settlement { uncounted: 1, snoozed: true, ..end(&run, State::Retryable, at(0)) };
        assert!(settle(&*engine, ends, at(0)).await);
        let after = job(&*engine, id).await;
        assert_eq!((after.uncounted, after.snoozes, after.state), (u32::MAX, u32::MAX, State::Retryable));
    }
    assert_eq!(fields(&engine.runs(id).await.expect("a read")[0].attempt), u32::MAX);
}

/// An attempt that somebody turned back by hand is settled a second time, beside another's first: with an error, and
/// with nothing to say but that the job is done.
pub async fn an_attempt_turned_back(database: &dyn Database) {
    let engine = open(database).await;
    let failed: fn(&Job) -> Option<AttemptError> = |job| Some(failure(job, at(3)));
    for error in [failed, |_| None] {
        let run = running(&*engine, new(at(0))).await;
        let back = Settlement { error: Some(failure(&run, at(1))), ..end(&run, State::Available, at(1)) };
        assert!(settle(&*engine, back, at(1)).await);
        assert!(database.overwrite(run.id, "attempt", "0").await, "a number");
        insert_all(&*engine, &[new(at(2))]).await;
        let runs = claim(&*engine, &ask(9, at(2))).await;
        assert_eq!((runs.len(), runs[0].attempt), (2, 1));
        let ends = |job| Settlement { error: error(job), ..end(job, State::Completed, at(3)) };
        let ends: Vec<_> = runs.iter().map(ends).collect();
        let turn = engine.turn(&ends, Some(&ask(9, at(3))), at(3)).await.expect("it is settled");
        assert_eq!(written(&turn.settled), [true, true]);
        let ledger = engine.runs(run.id).await.expect("a read");
        assert_eq!((ledger.len(), ledger[0].finished_at), (1, at(3)), "the last word");
        // Whether that of the first time goes with its ledger row is up to the engine.
        let errors = engine.errors(run.id).await.expect("a read");
        assert!(error(&run).is_none_or(|error| fields(&errors) == fields(&vec![error])), "{errors:?}");
    }
}

/// What somebody writes into the row of a job that runs does not outlive the run, however that is settled.
pub async fn a_reason_written_while_it_runs(database: &dyn Database) {
    let engine = open(database).await;
    for claims in [None, Some(ask(1, at(1)))] {
        let run = running(&*engine, new(at(0))).await;
        let next = insert(&*engine, new(at(1))).await;
        assert!(database.overwrite(run.id, "reason", "'by hand'").await, "a text");
        let turn = engine.turn(&[end(&run, State::Completed, at(1))], claims.as_ref(), at(1)).await;
        assert_eq!(written(&turn.expect("a turn").settled), [true]);
        assert_eq!(job(&*engine, run.id).await.reason, None);
        if claims.is_none() {
            engine.delete(next.id).await.expect("it waits");
        }
    }
}

/// One row that the database refuses keeps all of a call out, however many there are.
pub async fn all_or_none(database: &dyn Database) {
    let engine = open(database).await;
    database.refuse(REFUSED).await;
    let refused = || JobRow { worker: REFUSED.to_owned(), ..new(at(0)) };
    let plain = vec![new(at(0)); 2_499];
    let keys = vec![unique("a", None, &State::ALL, at(0)), new(at(0)), unique("b", None, &State::ALL, at(0))];
    for rows in [vec![refused()], [plain, vec![refused()]].concat(), [keys.clone(), vec![refused()]].concat()]
    {
        let error = engine.insert(&rows).await.expect_err("refused");
        assert!(was_refused(&error), "the database's own word: {error:?}");
        assert!(all_jobs(&*engine).await.is_empty(), "{} rows", rows.len());
    }
    insert_all(&*engine, &keys).await;
}

/// A follow-on that is refused keeps everything of its settlement out: the run goes on, for all that is
/// written.
pub async fn a_refused_follow_on(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    database.refuse(REFUSED).await;
    insert_all(&*engine, &vec![new(at(0)); 4]).await;
    let runs = claim(&*engine, &ask(3, at(0))).await;
    let mut before = runs.clone();
    before.push(all_jobs(&*engine).await.remove(3));
    let mut bad = end_with_all(&runs[1], State::Completed, at(1));
    bad.follow_ons.push(JobRow { worker: REFUSED.to_owned(), ..new(at(1)) });
    let good = || end(&runs[0], State::Completed, at(1));
    let error = engine.settle(std::slice::from_ref(&bad), at(1)).await.expect_err("refused");
    assert!(was_refused(&error), "{error:?}");
    assert_untouched(&*other, &before, "alone").await;
    // One transaction: who asks again does so one by one.
    engine.turn(&[good(), bad.clone()], Some(&ask(9, at(1))), at(1)).await.expect_err("refused");
    assert_untouched(&*other, &before, "with another").await;
    assert!(settle(&*engine, good(), at(1)).await);
    bad.follow_ons.pop();
    assert!(settle(&*engine, bad, at(1)).await);
    assert_eq!(state(&*engine, runs[1].id).await, State::Completed);
    // One that was superseded has no follow-on that could be refused.
    let follow_ons = vec![JobRow { worker: REFUSED.to_owned(), ..new(at(1)) }];
    let stale = Settlement {
        attempt: 9,
        follow_ons,
        run: run_row(&runs[2], at(1)),
        ..end(&runs[2], State::Completed, at(1))
    };
    assert!(!settle(&*engine, stale, at(1)).await);
}

/// After a refusal the engine goes on as before.
pub async fn after_a_refusal(database: &dyn Database) {
    let engine = open(database).await;
    database.refuse(REFUSED).await;
    for round in 0..30 {
        let refused = JobRow { worker: REFUSED.to_owned(), ..new(at(0)) };
        engine.insert(&[new(at(0)), refused]).await.expect_err("refused");
        let run = running(&*engine, new(at(round))).await;
        assert!(settle(&*engine, end(&run, State::Completed, at(round)), at(round)).await);
    }
    assert_eq!(all_jobs(&*engine).await.len(), 30);
}
