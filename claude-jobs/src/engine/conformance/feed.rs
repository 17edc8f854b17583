//! What those follow who look at the whole fleet: the runs of now, and the ledger in the order of its commits.

use std::collections::BTreeMap;

use super::Database;
use super::fixture::{
    NODE, QUEUE, WORKER, ask, at, claim, claim_one, end, insert_all, new, open, run_row, running, settle,
};
use crate::engine::Engine;
use crate::event::Cursor;
use crate::job::{JobId, RunRow, State};
use crate::settlement::Settlement;

/// The next runs, in pages of that size until there are none.
async fn read(engine: &dyn Engine, cursor: &mut Cursor, limit: u32) -> Vec<(JobId, u32)> {
    let mut runs = Vec::new();
    loop {
        let page = engine.ledger(cursor, limit).await.expect("a read");
        assert!(page.runs.len() <= limit as usize);
        runs.extend(page.runs.iter().map(|run| (run.job, run.run.attempt)));
        *cursor = page.cursor;
        if !page.has_more {
            return runs;
        }
    }
}

/// Jobs that have completed, one a second, at this cost each.
async fn completed(engine: &dyn Engine, count: u32) -> Vec<JobId> {
    insert_all(engine, &vec![new(at(0)); count as usize]).await;
    let runs = claim(engine, &ask(count, at(0))).await;
    let ends: Vec<_> =
        (runs.iter().zip(1..)).map(|(run, second)| end(run, State::Completed, at(second))).collect();
    engine.settle(&ends, at(0)).await.expect("a settlement");
    runs.iter().map(|run| run.id).collect()
}

/// All that is in a row, and what the job is now.
pub async fn all_of_a_run(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let mut cursor = other.ledger_end(None).await.expect("a read");
    let job = running(&*engine, new(at(0))).await;
    let run =
        RunRow { cost_usd: Some(0.25), turns: Some(3), model: Some("sonnet".into()), ..run_row(&job, at(7)) };
    assert!(settle(&*engine, Settlement { run, ..end(&job, State::Completed, at(7)) }, at(7)).await);
    let page = other.ledger(&cursor, 9).await.expect("a read");
    let [told] = &page.runs[..] else { panic!("{page:?}") };
    assert_eq!((told.job, told.queue.as_str(), told.worker.as_str()), (job.id, QUEUE, WORKER));
    assert_eq!((told.run.cost_usd, told.run.turns, told.run.finished_at), (Some(0.25), Some(3), at(7)));
    assert_eq!((told.run.model.as_deref(), told.state), (Some("sonnet"), Some(State::Completed)));

    // Of an attempt before the last the job's state says nothing.
    engine.retry(job.id, at(8)).await.expect("it is over");
    let state = async |cursor: &Cursor| other.ledger(cursor, 9).await.expect("a read").runs[0].state;
    assert_eq!(state(&cursor).await, Some(State::Available));
    claim_one(&*engine, at(8)).await;
    assert_eq!(state(&cursor).await, None);
    assert_eq!(read(&*other, &mut cursor, 9).await, [(job.id, 1)]);
    assert_eq!(read(&*other, &mut cursor, 9).await, []);
}

/// From now on, from a moment on, from a cursor on; in pages, and one by one.
pub async fn where_to_start(database: &dyn Database) {
    let engine = open(database).await;
    let before = completed(&*engine, 10).await;
    let mut now = engine.ledger_end(None).await.expect("a read");
    let mut all = engine.ledger_end(Some(at(0))).await.expect("a read");
    let mut late = engine.ledger_end(Some(at(4))).await.expect("a read");
    let mut never = engine.ledger_end(Some(at(9_999))).await.expect("a read");
    // Written later, though it ended earlier: its node had lost the database.
    let after = completed(&*engine, 2).await;
    let first = |jobs: &[JobId]| jobs.iter().map(|job| (*job, 1)).collect::<Vec<_>>();
    assert_eq!(read(&*engine, &mut now, 9).await, first(&after));
    assert_eq!(read(&*engine, &mut all, 3).await, first(&[&before[..], &after].concat()));
    assert_eq!(read(&*engine, &mut late, 2).await, first(&[&before[3..], &after].concat()));
    assert_eq!(read(&*engine, &mut never, 4).await, first(&after));

    let mut cursor = engine.ledger_end(Some(at(0))).await.expect("a read");
    let mut told = Vec::new();
    for limit in [5, 4, 5, 3, 2, 5, 7, 5] {
        // Only the first of each page is told; the cursor of that run goes on from it, as a text.
        let page = engine.ledger(&cursor, limit).await.expect("a read");
        told.push((page.runs[0].job, page.runs[0].run.attempt));
        cursor = page.runs[0].cursor.to_string().parse().expect("its own text");
    }
    assert_eq!(told, first(&before[..8]));
    assert_eq!(read(&*engine, &mut cursor, 5).await, first(&[&before[8..], &after].concat()));

    let other = Cursor { database: "another".into(), ..cursor };
    let error = engine.ledger(&other, 9).await.expect_err("not of this database").to_string();
    assert!(error.contains("another database"), "{error}");
}

/// No number is given twice, so that a run after a deletion is told.
pub async fn after_deletions(database: &dyn Database) {
    let engine = open(database).await;
    let jobs = completed(&*engine, 3).await;
    let mut cursor = engine.ledger_end(None).await.expect("a read");
    for job in jobs {
        engine.delete(job).await.expect("it is over");
    }
    let new = completed(&*engine, 2).await;
    assert_eq!(read(&*engine, &mut cursor, 9).await, [(new[0], 1), (new[1], 1)]);
}

/// However writers overlap, each run is told once.
pub async fn under_races(database: &dyn Database) {
    const JOBS: usize = 400;
    let engine = open(database).await;
    let mut cursor = engine.ledger_end(None).await.expect("a read");
    insert_all(&*engine, &vec![new(at(0)); JOBS]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let engine = database.connect().await;
        tasks.spawn(async move {
            loop {
                let runs = claim(&*engine, &ask(3, at(0))).await;
                if runs.is_empty() {
                    return;
                }
                let ends: Vec<_> = runs.iter().map(|run| end(run, State::Completed, at(1))).collect();
                engine.settle(&ends, at(1)).await.expect("a settlement");
            }
        });
    }
    let mut told = BTreeMap::new();
    while told.len() < JOBS {
        for run in read(&*engine, &mut cursor, 7).await {
            assert_eq!(told.insert(run, ()), None, "told twice: {run:?}");
        }
        tokio::task::yield_now().await;
    }
    tasks.join_all().await;
    assert_eq!(read(&*engine, &mut cursor, 7).await, []);
}

/// What runs now.
pub async fn runs_of_now(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &[new(at(0)), new(at(0))]).await;
    assert!(engine.running().await.expect("a read").is_empty());
    let job = claim_one(&*engine, at(5)).await;
    let runs = engine.running().await.expect("a read");
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((run.job, run.attempt, run.started_at), (job.id, 1, at(5)));
    assert_eq!((run.queue.as_str(), run.worker.as_str(), run.node.as_deref()), (QUEUE, WORKER, Some(NODE)));
    assert!(settle(&*engine, end(&job, State::Completed, at(6)), at(6)).await);
    assert!(engine.running().await.expect("a read").is_empty());
}
