//! Ticks of schedules: each once, with its job, whoever comes first.

use jiff::Timestamp;

use super::Database;
use super::fixture::{all_jobs, at, claim, end, fields, ids, just_before, new, open, settle, unique};
use crate::engine::{Engine, Tick, TickAction, TickOutcome, TickRow};
use crate::job::{JobId, JobRow, State};
use crate::schedule::IfBusy;

const ENTRY: &str = "nightly";

fn tick(due: Timestamp, action: TickAction) -> Tick {
    Tick {
        entry: ENTRY.to_owned(),
        schedule: "0 9 * * * Europe/Berlin".to_owned(),
        due,
        recorded_at: at(1_000),
        missed: 0,
        action,
    }
}

fn insert(row: JobRow, if_busy: IfBusy) -> TickAction {
    TickAction::Insert(Box::new(row), if_busy)
}

async fn record(engine: &dyn Engine, tick: &Tick) -> Option<TickRow> {
    engine.tick(tick).await.expect("a tick")
}

async fn recorded(engine: &dyn Engine) -> Vec<TickRow> {
    engine.ticks(ENTRY, u32::MAX).await.expect("a read")
}

/// Every kind of tick is kept as it was recorded, newest first.
pub async fn what_is_recorded(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let job = || insert(new(at(0)), IfBusy::Queue);
    let same = || unique("a", None, &State::ALL, at(0));
    super::fixture::insert(&*engine, same()).await;
    let table = [
        (10, TickAction::FirstSeen, 0, TickOutcome::FirstSeen, None),
        (20, job(), 0, TickOutcome::Inserted, Some(1)),
        (30, TickAction::Miss, 7, TickOutcome::Missed, None),
        (40, job(), u64::from(u32::MAX) * 9, TickOutcome::Inserted, Some(2)),
        (50, insert(same(), IfBusy::Queue), 0, TickOutcome::Duplicate, Some(0)),
        (60, insert(new(at(0)), IfBusy::Skip), 0, TickOutcome::Busy, None),
        (15, job(), 0, TickOutcome::Inserted, Some(3)),
    ];
    let mut expected: Vec<TickRow> = Vec::new();
    let mut jobs: Vec<JobId> = Vec::new();
    for (due, action, missed, outcome, job) in table {
        let tick = Tick { missed, ..tick(at(due), action) };
        let row = record(&*engine, &tick).await.expect("it is new");
        jobs = ids(&all_jobs(&*other).await);
        assert_eq!(row, tick.row(outcome, job.map(|place: usize| jobs[place])), "{outcome:?}");
        expected.push(row);
    }
    assert_eq!(jobs.len(), 4);
    expected.sort_by_key(|row| std::cmp::Reverse(row.due));
    assert_eq!(recorded(&*other).await, expected);
    assert_eq!(other.ticks(ENTRY, 2).await.expect("a read"), expected[..2]);
    assert!(other.ticks("night", 9).await.expect("a read").is_empty());
}

/// A tick that is recorded already is left as it is, and inserts no second job.
pub async fn once(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let first = record(&*engine, &tick(at(10), insert(new(at(0)), IfBusy::Queue))).await.expect("it is new");
    for action in [insert(new(at(0)), IfBusy::Queue), TickAction::FirstSeen, TickAction::Miss] {
        let again = Tick { recorded_at: at(2_000), schedule: "else".to_owned(), ..tick(at(10), action) };
        assert_eq!(record(&*other, &again).await, None);
    }
    assert_eq!(recorded(&*other).await, [first]);
    assert_eq!(all_jobs(&*other).await.len(), 1);
    let other_entry = Tick { entry: "Nightly".to_owned(), ..tick(at(10), insert(new(at(0)), IfBusy::Queue)) };
    assert!(record(&*other, &other_entry).await.is_some(), "another entry's tick of the same time");
}

/// Eight nodes at the same tick: one job.
pub async fn under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for round in 0..20 {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let engine = engines[task % 2].clone();
            let tick = tick(at(round), insert(new(at(0)), IfBusy::Queue));
            tasks.spawn(async move { record(&*engine, &tick).await });
        }
        assert_eq!(tasks.join_all().await.into_iter().flatten().count(), 1, "round {round}");
    }
    assert_eq!(all_jobs(&*engines[0]).await.len(), 20);
}

/// Skipped for as long as a job of an earlier tick is not over, in whichever state it is.
pub async fn if_busy(database: &dyn Database) {
    let engine = open(database).await;
    let skips = || insert(new(at(0)), IfBusy::Skip);
    let mut due = 0;
    let mut outcome = async || {
        due += 1;
        record(&*engine, &tick(at(due), skips())).await.expect("it is new").outcome
    };
    // Another entry's job does not count, nor one that nobody scheduled.
    super::fixture::insert(&*engine, JobRow { queue: "other".to_owned(), ..new(at(0)) }).await;
    let elsewhere = JobRow { queue: "other".to_owned(), ..new(at(0)) };
    let other = Tick { entry: "other".to_owned(), ..tick(at(0), insert(elsewhere, IfBusy::Queue)) };
    record(&*engine, &other).await.expect("it is new");
    assert_eq!(outcome().await, TickOutcome::Inserted);
    for state in [State::Available, State::Executing, State::Scheduled, State::Retryable, State::Completed] {
        if state != State::Available {
            let run = claim(&*engine, &super::fixture::ask(1, at(0))).await.remove(0);
            if state != State::Executing {
                assert!(settle(&*engine, end(&run, state, at(0)), at(0)).await);
            }
        }
        let expected = if state.is_final() { TickOutcome::Inserted } else { TickOutcome::Busy };
        assert_eq!(outcome().await, expected, "{state}");
        if state == State::Executing {
            let run =
                engine.held(super::fixture::NODE, super::fixture::QUEUE).await.expect("a read").remove(0);
            assert!(settle(&*engine, end(&run, State::Available, at(0)), at(0)).await);
        }
    }
    assert_eq!(outcome().await, TickOutcome::Busy, "the second job waits");
}

/// A tick is no duplicate of another tick of its entry: that one's job lets the key go, in whichever state it is. Of
/// anybody else's job it is.
pub async fn unique_ticks(database: &dyn Database) {
    let engine = open(database).await;
    let row = |key: &str| unique(key, Some(at(9_999)), &State::ALL, at(0));
    let outcome = async |entry: &str, due: i64, key: &str| {
        let tick = Tick { entry: entry.to_owned(), ..tick(at(due), insert(row(key), IfBusy::Queue)) };
        record(&*engine, &tick).await.expect("it is new")
    };
    let mut newest = None;
    for (due, state) in
        [(10, State::Executing), (20, State::Completed), (30, State::Retryable), (40, State::Available)]
    {
        let ticked = outcome(ENTRY, due, "a").await;
        assert_eq!(ticked.outcome, TickOutcome::Inserted, "at {due}");
        newest = ticked.job_id;
        if state != State::Available {
            let run = claim(&*engine, &super::fixture::ask(1, at(0))).await.remove(0);
            if state != State::Executing {
                assert!(settle(&*engine, end(&run, state, at(0)), at(0)).await);
            }
        }
    }
    let by_hand = super::fixture::insert_each(&*engine, &[row("a")]).await.remove(0);
    assert_eq!(
        (by_hand.duplicate, Some(by_hand.job.id)),
        (true, newest),
        "the newest tick's job has the key"
    );
    let other = outcome("other", 40, "a").await;
    assert_eq!((other.outcome, other.job_id), (TickOutcome::Duplicate, newest), "another entry's");
    let again = outcome("other", 50, "a").await;
    assert_eq!(again.outcome, TickOutcome::Duplicate, "the job of a duplicate is not the entry's own");
    super::fixture::insert(&*engine, row("b")).await;
    for due in [60, 70] {
        assert_eq!(outcome(ENTRY, due, "b").await.outcome, TickOutcome::Duplicate, "inserted by hand");
    }
    assert_eq!(outcome(ENTRY, 80, "a").await.outcome, TickOutcome::Inserted, "however many ticks later");
    for (due, outcome) in [(90, TickOutcome::Missed), (100, TickOutcome::Missed)] {
        let missed = record(&*engine, &tick(at(due), TickAction::Miss)).await.expect("it is new");
        assert_eq!(missed.outcome, outcome);
    }
    engine.prune_ticks(at(999)).await.expect("a prune");
    let dues: Vec<_> = recorded(&*engine).await.iter().map(|row| row.due).collect();
    assert_eq!(dues, [at(100), at(80)], "the one whose job has the key stays");
    assert_eq!(outcome(ENTRY, 110, "a").await.outcome, TickOutcome::Inserted, "after the others were pruned");
}

/// The newest tick that is not later than now: one of the future was a fast clock's.
pub async fn last_tick(database: &dyn Database) {
    let engine = open(database).await;
    assert_eq!(engine.last_tick(ENTRY, at(0)).await.expect("a read"), None);
    for due in [20, 10, 40] {
        record(&*engine, &tick(at(due), TickAction::Miss)).await.expect("it is new");
    }
    for (now, expected) in [
        (just_before(at(10)), None),
        (at(10), Some(at(10))),
        (at(39), Some(at(20))),
        (at(40), Some(at(40))),
        (at(9_999), Some(at(40))),
    ] {
        let last = engine.last_tick(ENTRY, now).await.expect("a read");
        assert_eq!(last.map(|row| row.due), expected, "at {now}");
    }
}

/// Old ticks go; the newest of each entry stays, however old. [`unique_ticks`] says which other.
pub async fn prune_ticks(database: &dyn Database) {
    let engine = open(database).await;
    for due in [10, 20, 30, 40] {
        record(&*engine, &tick(at(due), TickAction::Miss)).await.expect("it is new");
    }
    let other = Tick { entry: "other".to_owned(), ..tick(at(5), TickAction::Miss) };
    record(&*engine, &other).await.expect("it is new");
    let dues = async || recorded(&*engine).await.iter().map(|row| row.due).collect::<Vec<_>>();
    assert_eq!(engine.prune_ticks(at(20)).await.expect("a prune"), 1, "what was due before");
    assert_eq!(dues().await, [at(40), at(30), at(20)]);
    assert_eq!(engine.prune_ticks(at(999)).await.expect("a prune"), 2);
    assert_eq!(dues().await, [at(40)]);
    assert_eq!(fields(&engine.ticks("other", 9).await.expect("a read")[0].due), fields(&at(5)));
    assert_eq!(engine.prune_ticks(at(999)).await.expect("a prune"), 0);
}
