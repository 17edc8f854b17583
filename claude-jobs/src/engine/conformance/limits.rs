//! Limits that nodes share: global, per key, rate.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Database;
use super::fixture::{
    NODE, OTHER, QUEUE, ask, at, claim, due, end, ids, insert, insert_all, just_before, keyed, new, open,
    settle,
};
use super::race::{self, Change};
use crate::engine::{ClaimRequest, Limits, QueueChange};
use crate::job::{JobRow, State};

const MINUTE: Duration = Duration::from_secs(60);

fn under(limits: Limits) -> ClaimRequest<'static> {
    ClaimRequest { limits, ..ask(1, at(0)) }
}

/// All nodes together run as many as the global limit says: never more, and no fewer.
pub async fn global(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 20]).await;
    insert_all(&*engine, &vec![JobRow { queue: "other".to_owned(), ..new(at(0)) }; 9]).await;
    let limits = Limits::local(4).global(6);
    let busy = ClaimRequest { queue: "other", ..ask(9, at(0)) };
    assert_eq!(claim(&*engine, &busy).await.len(), 9, "another queue's runs do not count");
    let first = claim(&*engine, &under(limits)).await;
    assert_eq!(first.len(), 4, "the node's own limit");
    let second = claim(&*engine, &ClaimRequest { node: OTHER, ..under(limits) }).await;
    assert_eq!(second.len(), 2, "what the global one leaves");
    assert!(claim(&*engine, &ClaimRequest { node: OTHER, running: 2, ..under(limits) }).await.is_empty());
    let ends: Vec<_> = first[..3].iter().map(|job| end(job, State::Retryable, at(0))).collect();
    engine.settle(&ends, at(0)).await.expect("a settlement");
    assert_eq!(claim(&*engine, &ClaimRequest { node: OTHER, running: 2, ..under(limits) }).await.len(), 2);
    assert_eq!(claim(&*engine, &ClaimRequest { running: 1, ..under(limits) }).await.len(), 1);
    let lower = Limits::local(9).global(3);
    assert!(claim(&*engine, &under(lower)).await.is_empty(), "more run than a lower limit allows");
    engine.change_queue(QUEUE, QueueChange::Scale(Some(20))).await.expect("a change");
    assert_eq!(claim(&*engine, &under(Limits::local(1).global(8))).await.len(), 2, "the setting is per node");
}

/// Under six tasks on two nodes, too.
pub async fn global_under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    insert_all(&*engines[0], &vec![new(at(0)); 300]).await;
    let seen = race::run_all(&engines, Limits::local(5).global(7), &[QUEUE], 300, |_, _| {}).await;
    let most = seen.most.load(Ordering::SeqCst);
    assert!(most <= 7, "{most} at once");
}

/// So many of a key, over all queues and nodes; the first of each by their order.
pub async fn per_key(database: &dyn Database) {
    let engine = open(database).await;
    let rows = [
        keyed("a", at(0)),
        keyed("a", at(0)),
        JobRow { priority: 1, ..keyed("b", at(0)) },
        keyed("b", at(0)),
        new(at(0)),
        JobRow { queue: "other".to_owned(), ..keyed("a", at(0)) },
        JobRow { queue: "other".to_owned(), ..keyed("c", at(0)) },
    ];
    let jobs = insert_all(&*engine, &rows).await;
    let first = claim(&*engine, &ask(9, at(0))).await;
    assert_eq!(ids(&first), [jobs[0].id, jobs[3].id, jobs[4].id], "one of each key, and what has none");
    let other = ClaimRequest { queue: "other", node: OTHER, ..ask(9, at(0)) };
    assert_eq!(ids(&claim(&*engine, &other).await), [jobs[6].id], "`a` runs in another queue");
    assert!(settle(&*engine, end(&first[0], State::Completed, at(1)), at(1)).await);
    assert_eq!(ids(&claim(&*engine, &other).await), [jobs[5].id], "now it does not");
    assert!(claim(&*engine, &ask(9, at(1))).await.is_empty());
    let wider = ClaimRequest { limits: Limits::local(9).per_key(2), ..ask(9, at(1)) };
    assert_eq!(ids(&claim(&*engine, &wider).await), [jobs[1].id, jobs[2].id], "two per key");
}

/// However many jobs wait in front for a key that is taken, the first others are claimed, in their order.
pub async fn beyond_those_of_busy_keys(database: &dyn Database) {
    let engine = open(database).await;
    let busy = insert(&*engine, keyed("busy", at(0))).await;
    assert_eq!(ids(&claim(&*engine, &ask(1, at(0))).await), [busy.id]);
    insert_all(&*engine, &vec![keyed("busy", at(0)); 300]).await;
    let unknown = JobRow { worker: "unknown".to_owned(), ..keyed("free", at(0)) };
    insert_all(&*engine, &vec![unknown; 300]).await;
    let rows: Vec<_> = (0..400).map(|number| keyed(&format!("key {}", number % 200), at(1))).collect();
    let jobs = insert_all(&*engine, &rows).await;
    let last = insert(&*engine, JobRow { priority: 1, ..new(at(1)) }).await;
    let expected: Vec<_> = jobs[..200].iter().map(|job| job.id).collect();
    let first = claim(&*engine, &ask(3, at(1))).await;
    assert_eq!(ids(&first), expected[..3], "behind those of `busy`");
    assert!(settle(&*engine, end(&first[1], State::Completed, at(1)), at(1)).await);
    let second = claim(&*engine, &ask(9, at(1))).await;
    assert_eq!(ids(&second), expected[3..12]);
    let rest = claim(&*engine, &ask(1_000, at(1))).await;
    let freed = jobs[201].id;
    let expected: Vec<_> = expected[12..].iter().copied().chain([freed, last.id]).collect();
    assert_eq!(ids(&rest), expected, "one of each key, and what has none at its place");
    assert!(claim(&*engine, &ask(1_000, at(1))).await.is_empty());
}

/// Many keys wait: the first of them are claimed in the order of all.
pub async fn many_keys(database: &dyn Database) {
    let engine = open(database).await;
    let rows: Vec<_> = (0..1_000).rev().map(|number| keyed(&format!("key {number}"), at(0))).collect();
    let jobs = insert_all(&*engine, &rows).await;
    let expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    for part in expected[..30].chunks(10) {
        assert_eq!(ids(&claim(&*engine, &ask(10, at(0))).await), part);
    }
}

/// Keys differ by every character, and a key that looks like none is one.
pub async fn keys_are_data(database: &dyn Database) {
    let engine = open(database).await;
    let keys = ["", " ", "a", "A", "a ", "ä", "a\u{308}", "%", "'", "NULL", "👩‍👩‍👧", "~", "\u{10ffff}"];
    let rows: Vec<_> = keys.iter().flat_map(|key| [keyed(key, at(0)), keyed(key, at(0))]).collect();
    let jobs = insert_all(&*engine, &rows).await;
    let first: Vec<_> = jobs.iter().step_by(2).map(|job| job.id).collect();
    assert_eq!(ids(&claim(&*engine, &ask(99, at(0))).await), first);
    assert!(claim(&*engine, &ask(99, at(0))).await.is_empty());
}

/// Under six tasks, two nodes and three queues, never two of a key.
pub async fn per_key_under_races(database: &dyn Database) {
    const QUEUES: [&str; 3] = ["x", "y", "z"];
    let engines = [open(database).await, database.connect().await];
    let rows: Vec<_> = (0..300)
        .map(|number| JobRow {
            queue: QUEUES[number % 3].to_owned(),
            ..keyed(&format!("k{}", number % 7), at(0))
        })
        .collect();
    insert_all(&*engines[0], &rows).await;
    let running = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
    let watch = move |job: &crate::job::Job, change| {
        let mut running = running.lock().expect("no panic");
        let count = running.entry(job.concurrency_key.clone().expect("each has one")).or_default();
        match change {
            Change::Start => *count += 1,
            Change::End => *count -= 1,
        }
        assert!(*count <= 2, "{count} of {:?}", job.concurrency_key);
    };
    race::run_all(&engines, Limits::local(4).per_key(2), &QUEUES, 300, watch).await;
}

/// Thousands that wait for one key keep nobody else waiting.
pub async fn other_keys_are_not_starved(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![keyed("busy", at(-60)); 5_000]).await;
    let rows: Vec<_> =
        (0..10).map(|key| JobRow { priority: 9, ..keyed(&format!("k{key}"), at(0)) }).collect();
    let jobs = insert_all(&*engine, &rows).await;
    let plain = insert(&*engine, JobRow { priority: 5, ..new(at(0)) }).await;
    let claimed = ids(&claim(&*engine, &ask(5, at(0))).await);
    assert_eq!(claimed[1..], [plain.id, jobs[0].id, jobs[1].id, jobs[2].id]);
    assert_eq!(ids(&claim(&*engine, &ask(99, at(0))).await), ids(&jobs[3..]));
    assert!(claim(&*engine, &ask(99, at(0))).await.is_empty());
}

/// A key makes a job neither earlier nor later.
pub async fn one_order_with_and_without_keys(database: &dyn Database) {
    let engine = open(database).await;
    let rows: Vec<_> = (0..30)
        .map(|number: u8| JobRow {
            priority: number % 4,
            concurrency_key: (!number.is_multiple_of(3)).then(|| format!("k{number}")),
            scheduled_at: at(-i64::from(number % 5)),
            ..new(at(-60))
        })
        .collect();
    let mut jobs = insert_all(&*engine, &rows).await;
    jobs.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
    let mut claimed = Vec::new();
    for most in [1, 7, 2, 20] {
        claimed.extend(ids(&claim(&*engine, &ask(most, at(0))).await));
    }
    assert_eq!(claimed, ids(&jobs));
}

/// A job of a worker that the node does not know holds no place in the line of its key.
pub async fn keys_of_unknown_workers(database: &dyn Database) {
    let engine = open(database).await;
    let unknown = JobRow { worker: "Unknown".to_owned(), ..keyed("a", at(0)) };
    insert_all(&*engine, &vec![unknown; 50]).await;
    let known = insert(&*engine, JobRow { priority: 9, ..keyed("a", at(0)) }).await;
    assert_eq!(ids(&claim(&*engine, &ask(9, at(0))).await), [known.id]);
}

/// Jobs whose time has come are counted by their key as all others.
pub async fn keys_of_waiting_jobs(database: &dyn Database) {
    let engine = open(database).await;
    let waits = || JobRow { concurrency_key: Some("a".to_owned()), ..due(at(-9), at(0)) };
    let jobs = insert_all(&*engine, &[waits(), waits(), waits()]).await;
    assert_eq!(ids(&claim(&*engine, &ask(9, at(0))).await), [jobs[0].id]);
}

/// So many starts within any period, attempts of every kind; `next_due` says when it goes on.
pub async fn rate(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    insert_all(&*engine, &vec![new(at(0)); 40]).await;
    let asked = async |node, now| {
        let connection = if node == NODE { &engine } else { &other };
        let limits = Limits::local(20).rate(10, MINUTE);
        connection.claim(&ClaimRequest { node, limits, ..ask(1, now) }).await.expect("a claim")
    };
    let fewer = ClaimRequest { limits: Limits::local(4).rate(10, MINUTE), ..ask(1, at(0)) };
    let first = claim(&*engine, &fewer).await;
    assert_eq!(first.len(), 4);
    // A run that is over counts as much as one that goes on.
    assert!(settle(&*engine, end(&first[0], State::Retryable, at(1)), at(1)).await);
    let claimed = asked(OTHER, at(30)).await;
    assert_eq!((claimed.jobs.len(), claimed.next_due), (6, Some(at(60))));
    let claimed = asked(NODE, just_before(at(60))).await;
    assert_eq!((claimed.jobs.len(), claimed.next_due), (0, Some(at(60))));
    let claimed = asked(NODE, at(60)).await;
    assert_eq!((claimed.jobs.len(), claimed.next_due), (4, Some(at(90))), "those of the start are past");
    let claimed = asked(OTHER, at(95)).await;
    assert_eq!((claimed.jobs.len(), claimed.next_due), (6, Some(at(120))));
    let claimed = asked(OTHER, at(1_000)).await;
    assert_eq!(claimed.jobs.len(), 10, "what was not used is not saved up");
}

/// A clock that was ahead for a while and is set back: what it has counted does not keep the queue from starting for as
/// long as it was ahead.
pub async fn rate_after_a_clock_was_set_back(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 40]).await;
    let starts = async |now| {
        let request = ClaimRequest { limits: Limits::local(20).rate(2, MINUTE), ..ask(1, now) };
        claim(&*engine, &request).await.len()
    };
    assert_eq!(starts(at(86_400)).await, 2);
    assert_eq!(starts(at(0)).await, 2);
    assert_eq!((starts(at(59)).await, starts(at(60)).await), (0, 2));
    // Those of a clock that is a little ahead count.
    assert_eq!((starts(at(130)).await, starts(at(125)).await), (2, 0));
}

/// The nearer one of the next due job and the rate is named; without a wish to start more, no rate is.
pub async fn next_due_under_a_rate(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 3]).await;
    let limits = Limits::local(5).rate(2, MINUTE);
    let waiting = insert(&*engine, due(at(0), at(20))).await;
    let claimed = engine.claim(&under(limits)).await.expect("a claim");
    assert_eq!((claimed.jobs.len(), claimed.next_due), (2, Some(at(20))));
    engine.delete(waiting.id).await.expect("it waits");
    let full = ClaimRequest { running: 5, ..under(limits) };
    assert_eq!(engine.claim(&full).await.expect("a claim").next_due, None, "the node has no room");
    let claimed = engine.claim(&under(limits)).await.expect("a claim");
    assert_eq!((claimed.jobs.len(), claimed.next_due), (0, Some(at(60))));
}

/// Whoever claims at the same moment: exactly as many starts as the rate allows.
pub async fn rate_under_races(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    insert_all(&*engines[0], &vec![new(at(0)); 100]).await;
    let limits = Limits::local(3).rate(10, MINUTE);
    for (now, expected) in [(at(0), 10), (just_before(at(60)), 0), (at(60), 10), (at(300), 10)] {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let engine = Arc::clone(&engines[task % 2]);
            tasks.spawn(async move {
                let node = [NODE, OTHER][task % 2];
                let request = ClaimRequest { node, limits, ..ask(1, now) };
                claim(&*engine, &request).await.len() + claim(&*engine, &request).await.len()
            });
        }
        assert_eq!(tasks.join_all().await.iter().sum::<usize>(), expected, "at {now}");
    }
}

/// Whichever limit is the narrowest holds.
pub async fn together(database: &dyn Database) {
    let engine = open(database).await;
    for (queue, limits, expected) in [
        ("a", Limits::local(9).global(3).rate(8, MINUTE), 3),
        ("b", Limits::local(9).global(8).rate(3, MINUTE), 3),
        ("c", Limits::local(2).global(8).rate(8, MINUTE), 2),
        ("d", Limits::local(9).global(8).rate(8, MINUTE).per_key(2), 6),
        ("e", Limits::local(9).global(3).rate(8, MINUTE).per_key(2), 3),
    ] {
        let of = |key: Option<String>| JobRow { queue: queue.to_owned(), concurrency_key: key, ..new(at(0)) };
        insert_all(&*engine, &vec![of(Some(format!("{queue}1"))); 9]).await;
        insert_all(&*engine, &vec![of(Some(format!("{queue}2"))); 9]).await;
        insert_all(&*engine, &[of(None), of(None)]).await;
        let limits = if limits.per_key == 1 { limits.per_key(9) } else { limits };
        let request = ClaimRequest { queue, limits, ..ask(1, at(0)) };
        assert_eq!(claim(&*engine, &request).await.len(), expected, "{limits:?}");
    }
}

/// Nothing is claimed ahead where others count on the place: under a global limit, a rate, a key.
pub async fn nothing_is_claimed_ahead(database: &dyn Database) {
    let engine = open(database).await;
    for (queue, limits) in [
        ("a", Limits::local(2).global(9)),
        ("b", Limits::local(2).rate(9, MINUTE)),
        ("c", Limits::local(2).per_key(9)),
    ] {
        let key = (queue == "c").then(|| "key".to_owned());
        let row = JobRow { queue: queue.to_owned(), concurrency_key: key, ..new(at(0)) };
        insert_all(&*engine, &vec![row; 9]).await;
        let request = ClaimRequest { queue, limits, ahead: 5, ..ask(1, at(0)) };
        assert_eq!(claim(&*engine, &request).await.len(), 2, "{limits:?}");
        let more = engine.claim(&ClaimRequest { running: 2, ..request }).await.expect("a claim");
        assert_eq!((more.jobs.len(), more.has_keyed), (0, queue == "c"), "{limits:?}");
    }
}
