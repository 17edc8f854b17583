//! Uniqueness: one holder of a key at a time, and when it lets go.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::Database;
use super::fixture::{
    ask, at, claim, claim_one, due, end, fields, insert, insert_all, insert_each, job, just_before, new,
    open, running, settle, unique,
};
use crate::engine::Engine;
use crate::job::{Job, JobRow, State};

/// What a unique job counts in at the least.
const WAITING: [State; 2] = [State::Scheduled, State::Available];

/// Whether a job holds the key. Asks with a job that is never due, and removes it again.
async fn is_held(engine: &dyn Engine, key: &str, now: Timestamp) -> bool {
    let probe = JobRow { unique: unique(key, None, &State::ALL, now).unique, ..due(now, at(1_000_000_000)) };
    let inserted = insert_each(engine, &[probe]).await.remove(0);
    if !inserted.duplicate {
        engine.delete(inserted.id()).await.expect("it waits");
    }
    inserted.duplicate
}

fn counting_in(others: &[State]) -> Vec<State> {
    [&WAITING, others].concat()
}

/// A duplicate within one call is answered with the first one, wherever it stands.
pub async fn in_one_batch(database: &dyn Database) {
    let engine = open(database).await;
    let row = |key: &str, place: u32| JobRow {
        input: json!({ "place": place }),
        ..unique(key, None, &State::ALL, at(0))
    };
    let plain = |place: u32| JobRow { input: json!({ "place": place }), ..new(at(0)) };
    let rows = [
        plain(0),
        row("a", 1),
        plain(2),
        row("a", 3),
        row("b", 4),
        row("b", 5),
        row("a", 6),
        plain(7),
        row("c", 8),
    ];
    let inserted = insert_each(&*engine, &rows).await;
    let places: Vec<_> =
        inserted.iter().map(|one| one.job.input["place"].as_u64().expect("a number")).collect();
    assert_eq!(places, [0, 1, 2, 1, 4, 4, 1, 7, 8]);
    let duplicates: Vec<_> = inserted.iter().map(|one| one.duplicate).collect();
    assert_eq!(duplicates, [false, false, false, true, false, true, true, false, false]);
    assert_eq!(fields(&inserted[6].job), fields(&inserted[1].job));
    let new: Vec<_> = inserted.iter().filter(|one| !one.duplicate).map(|one| one.id()).collect();
    assert!(new.is_sorted(), "{new:?}");
    let again = insert_each(&*engine, &rows[3..5]).await;
    assert!(again.iter().all(|one| one.duplicate));
}

/// The answer shows the job that stands in the way as it is now.
pub async fn the_holder_is_shown_as_it_is(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let row = unique("a", None, &State::ALL, at(0));
    let first = running(&*engine, row.clone()).await;
    let again = insert_each(&*other, std::slice::from_ref(&row)).await.remove(0);
    assert!(again.duplicate);
    assert_eq!(fields(&again.job), fields(&first));
    assert_eq!((again.job.state, again.job.attempt), (State::Executing, 1));
}

/// Whoever inserts the same keys at the same moment, in whatever order: one wins each.
pub async fn across_connections(database: &dyn Database) {
    const KEYS: usize = 1_000;
    let engines = [open(database).await, database.connect().await];
    let mut tasks = tokio::task::JoinSet::new();
    for (task, engine) in engines.iter().enumerate() {
        let engine = Arc::clone(engine);
        tasks.spawn(async move {
            let mut answers = Vec::with_capacity(KEYS);
            let mut rows: Vec<_> =
                (0..KEYS).map(|key| unique(&key.to_string(), None, &State::ALL, at(0))).collect();
            for part in rows.chunks_mut(20) {
                // The other way round: neither may wait for the other for ever.
                if task == 1 {
                    part.reverse();
                }
                for (row, one) in part.iter().zip(insert_each(&*engine, part).await) {
                    let key = row.unique.as_ref().expect("each has one").key.clone();
                    answers.push((key, one.id(), one.duplicate));
                }
            }
            answers
        });
    }
    let answers = tasks.join_all().await.concat();
    let mut holders = HashMap::new();
    for (key, id, duplicate) in &answers {
        if !duplicate {
            assert_eq!(holders.insert(key, id), None, "{key} twice");
        }
    }
    assert_eq!(holders.len(), KEYS);
    assert!(answers.iter().all(|(key, id, _)| holders[key] == id));
}

/// A key whose time is over no longer stands in the way; from then on the new job holds it.
pub async fn until(database: &dyn Database) {
    let engine = open(database).await;
    let row = |now| unique("a", Some(at(60)), &State::ALL, now);
    let first = insert(&*engine, row(at(0))).await;
    let early = insert_each(&*engine, &[row(just_before(at(60)))]).await.remove(0);
    assert!(early.duplicate && early.id() == first.id, "up to then");
    let renewed = JobRow { unique: unique("a", Some(at(120)), &State::ALL, at(60)).unique, ..new(at(60)) };
    let second = insert(&*engine, renewed).await;
    assert_ne!(second.id, first.id);
    let third = insert_each(&*engine, &[row(at(61))]).await.remove(0);
    assert!(third.duplicate && third.id() == second.id, "the second holds it");
    // The first goes its way and touches nobody's key.
    for job in claim(&*engine, &ask(9, at(62))).await {
        if job.id == first.id {
            assert!(settle(&*engine, end(&job, State::Completed, at(62)), at(62)).await);
        }
    }
    assert!(is_held(&*engine, "a", at(63)).await);
    assert!(!is_held(&*engine, "a", at(120)).await);
}

/// In one batch, too, an expired key goes to the first row that asks, and only to that.
pub async fn expired_in_one_batch(database: &dyn Database) {
    let engine = open(database).await;
    insert(&*engine, unique("a", Some(at(10)), &State::ALL, at(0))).await;
    let row = unique("a", Some(at(90)), &State::ALL, at(50));
    let inserted = insert_each(&*engine, &[row.clone(), row.clone(), row]).await;
    assert_eq!(inserted.iter().map(|one| one.duplicate).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(inserted[2].id(), inserted[0].id());
}

/// Rows of one batch may have waited for it for different times: each is judged by its own moment and after
/// those before it.
pub async fn each_at_its_own_moment(database: &dyn Database) {
    let engine = open(database).await;
    insert(&*engine, unique("a", Some(at(10)), &State::ALL, at(0))).await;
    let rows = [(5, 15), (20, 20), (20, 30), (25, 40), (30, 40), (35, 50), (10, 20)]
        .map(|(moment, until)| unique("a", Some(at(until)), &State::ALL, at(moment)));
    let inserted = insert_each(&*engine, &rows).await;
    let duplicates: Vec<_> = inserted.iter().map(|one| one.duplicate).collect();
    assert_eq!(duplicates, [true, false, false, true, false, true, true]);
    assert_eq!(inserted[3].id(), inserted[2].id());
    assert_eq!([inserted[5].id(), inserted[6].id()], [inserted[4].id(); 2]);
}

/// A claim releases the key of a job that does not count while it runs.
pub async fn released_by_a_claim(database: &dyn Database) {
    let engine = open(database).await;
    for (key, states, held) in
        [("in", counting_in(&[State::Executing]), true), ("out", counting_in(&[]), false)]
    {
        running(&*engine, unique(key, None, &states, at(0))).await;
        assert_eq!(is_held(&*engine, key, at(0)).await, held, "{key}");
    }
}

/// So does a settlement, in whichever state the job then is.
pub async fn released_by_a_settlement(database: &dyn Database) {
    let engine = open(database).await;
    let table = [State::Retryable, State::Completed, State::Discarded, State::Cancelled];
    for state in table {
        for counts in [true, false] {
            let others: Vec<_> = table.into_iter().filter(|other| (*other == state) == counts).collect();
            let states = counting_in(&[&[State::Executing][..], &others].concat());
            let key = format!("{state} {counts}");
            let job = running(&*engine, unique(&key, None, &states, at(0))).await;
            assert!(settle(&*engine, JobEnd(&job, state).later(), at(0)).await);
            assert_eq!(is_held(&*engine, &key, at(0)).await, counts, "{key}");
        }
    }
    for state in WAITING {
        let job = running(&*engine, unique("waits", None, &counting_in(&[State::Executing]), at(0))).await;
        assert!(settle(&*engine, JobEnd(&job, state).later(), at(0)).await);
        assert!(is_held(&*engine, "waits", at(0)).await, "{state}");
        engine.delete(job.id).await.expect("it waits");
    }
}

/// The end of a run, with the job not due again.
struct JobEnd<'a>(&'a Job, State);

impl JobEnd<'_> {
    fn later(&self) -> crate::settlement::Settlement {
        crate::settlement::Settlement { scheduled_at: at(1_000_000), ..end(self.0, self.1, at(0)) }
    }
}

/// A settlement that somebody's request turns into a cancellation counts as one.
pub async fn released_by_a_cancellation(database: &dyn Database) {
    let engine = open(database).await;
    let of_retryable = counting_in(&[State::Executing, State::Retryable]);
    let of_cancelled = counting_in(&[State::Executing, State::Cancelled]);
    for (key, states, held) in [("a", of_retryable, false), ("b", of_cancelled, true)] {
        let job = running(&*engine, unique(key, None, &states, at(0))).await;
        engine.cancel(job.id, at(1)).await.expect("it runs");
        assert!(!settle(&*engine, JobEnd(&job, State::Retryable).later(), at(2)).await);
        assert!(settle(&*engine, end(&job, State::Cancelled, at(2)), at(2)).await);
        assert_eq!(is_held(&*engine, key, at(3)).await, held, "{key}");
    }
    for (key, states, held) in [("c", counting_in(&[]), false), ("d", counting_in(&[State::Cancelled]), true)]
    {
        let job = insert(&*engine, unique(key, None, &states, at(0))).await;
        engine.cancel(job.id, at(1)).await.expect("it waits");
        assert_eq!(is_held(&*engine, key, at(2)).await, held, "{key}");
    }
}

/// A key that was released once never comes back: not with the state, not by hand.
pub async fn never_acquired_again(database: &dyn Database) {
    let engine = open(database).await;
    let job_row = unique("a", None, &counting_in(&[State::Retryable, State::Completed]), at(0));
    let old = running(&*engine, job_row.clone()).await;
    // Released by the claim. Back in a state that would count:
    assert!(settle(&*engine, JobEnd(&old, State::Retryable).later(), at(0)).await);
    assert!(!is_held(&*engine, "a", at(0)).await, "back in `retryable`");
    let newer = insert(&*engine, due(at(0), at(1_000_000)).with_unique_of(&job_row)).await;
    engine.retry(old.id, at(1)).await.expect("it waits for its time");
    assert_eq!(claim_one(&*engine, at(1)).await.id, old.id, "both may be there");
    let run = job(&*engine, old.id).await;
    assert!(settle(&*engine, end(&run, State::Completed, at(2)), at(2)).await);
    assert!(is_held(&*engine, "a", at(2)).await, "the newer one's, untouched");
    engine.delete(newer.id).await.expect("it waits");
    assert!(!is_held(&*engine, "a", at(3)).await, "gone with its holder");
    engine.retry(old.id, at(4)).await.expect("it is over");
    assert!(!is_held(&*engine, "a", at(4)).await, "by hand");
}

impl JobRow {
    fn with_unique_of(self, other: &Self) -> Self {
        Self { unique: other.unique.clone(), ..self }
    }
}

/// A retry by hand keeps the key of a job that holds it still.
pub async fn kept_through_a_retry_by_hand(database: &dyn Database) {
    let engine = open(database).await;
    let job = running(&*engine, unique("a", None, &State::ALL, at(0))).await;
    assert!(settle(&*engine, end(&job, State::Discarded, at(1)), at(1)).await);
    engine.retry(job.id, at(2)).await.expect("it is over");
    assert!(is_held(&*engine, "a", at(2)).await);
}

/// Jobs that are claimed together let go together; the others hold on.
pub async fn released_in_one_claim(database: &dyn Database) {
    let engine = open(database).await;
    let rows: Vec<_> = (0..20)
        .map(|number: i32| {
            let states = if number % 2 == 0 { counting_in(&[]) } else { counting_in(&[State::Executing]) };
            unique(&number.to_string(), None, &states, at(0))
        })
        .collect();
    insert_all(&*engine, &rows).await;
    assert_eq!(claim(&*engine, &ask(20, at(0))).await.len(), 20);
    for number in 0..20 {
        assert_eq!(is_held(&*engine, &number.to_string(), at(0)).await, number % 2 == 1, "{number}");
    }
}
