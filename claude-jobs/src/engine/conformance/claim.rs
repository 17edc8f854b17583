//! Claims under the node's own limit: which jobs, in which order, and what a claim does to them.

use std::collections::HashSet;

use super::Database;
use super::fixture::{
    HOST, NODE, OTHER, WORKER, all_jobs, ask, at, claim, claim_one, continuing, due, end, end_with_all,
    fields, ids, insert, insert_all, job, just_after, just_before, new, open, running, settle, state,
};
use super::race;
use super::random::Random;
use crate::engine::{ClaimRequest, Limits, QueueChange};
use crate::job::{Job, JobRow, State};
use crate::settlement::Settlement;

/// By priority, then time, then number; in one claim and in many.
pub async fn order(database: &dyn Database) {
    let engine = open(database).await;
    let mut random = Random::new();
    for size in [1, 3, 40] {
        let rows: Vec<_> = (0..40)
            .map(|_| JobRow {
                priority: random.pick(&[0, 1, 5, 9]),
                scheduled_at: random.pick(&[at(-9), just_before(at(0)), at(0)]),
                ..new(at(-100))
            })
            .collect();
        let mut expected = insert_all(&*engine, &rows).await;
        expected.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
        let mut claimed = Vec::new();
        while claimed.len() < 40 {
            claimed.extend(ids(&claim(&*engine, &ask(size, at(0))).await));
        }
        assert_eq!(claimed, ids(&expected), "{size} at a time");
    }
}

/// Jobs whose time has come stand in line with the others, at the place of that time; the others wait.
pub async fn waiting_jobs_become_claimable(database: &dyn Database) {
    let engine = open(database).await;
    let retryable = running(&*engine, new(at(-200))).await;
    let again = Settlement { scheduled_at: at(-20), ..end(&retryable, State::Retryable, at(-100)) };
    assert!(settle(&*engine, again, at(-100)).await);
    let rows = [
        JobRow { scheduled_at: at(-10), ..new(at(-10)) },
        due(at(-50), at(-30)),
        due(at(-50), at(0)),
        due(at(-50), just_after(at(0))),
        JobRow { priority: 1, ..due(at(-50), at(-40)) },
    ];
    let jobs = insert_all(&*engine, &rows).await;
    let expected = [jobs[1].id, retryable.id, jobs[0].id, jobs[2].id, jobs[4].id];
    assert_eq!(ids(&claim(&*engine, &ask(9, at(0))).await), expected);
    assert_eq!(state(&*engine, jobs[3].id).await, State::Scheduled, "a microsecond too early");
    assert_eq!(ids(&claim(&*engine, &ask(9, just_after(at(0)))).await), [jobs[3].id]);
}

/// A claim says when the next waiting job of its queue is due.
pub async fn next_due(database: &dyn Database) {
    let engine = open(database).await;
    let asked = async |now| engine.claim(&ask(9, now)).await.expect("a claim").next_due;
    assert_eq!(asked(at(0)).await, None, "an empty queue");
    insert(&*engine, JobRow { queue: "other".to_owned(), ..due(at(0), at(1)) }).await;
    assert_eq!(asked(at(0)).await, None, "another queue");
    insert_all(&*engine, &[due(at(0), at(90)), due(at(0), at(30)), due(at(0), at(60)), new(at(0))]).await;
    assert_eq!(asked(at(0)).await, Some(at(30)), "with a job in the same answer");
    assert_eq!(asked(just_before(at(30))).await, Some(at(30)), "with none");
    let job = {
        let claimed = engine.claim(&ask(9, at(30))).await.expect("a claim");
        assert_eq!(claimed.next_due, Some(at(60)));
        claimed.jobs.into_iter().next().expect("it is due")
    };
    let again = Settlement { scheduled_at: at(45), ..end(&job, State::Retryable, at(31)) };
    assert!(settle(&*engine, again, at(31)).await);
    assert_eq!(asked(at(32)).await, Some(at(45)), "a retry");
    assert_eq!(claim(&*engine, &ask(9, at(100))).await.len(), 3);
    assert_eq!(asked(at(100)).await, None);
}

/// Jobs of workers that the node does not know stay for a newer node, and keep nobody waiting.
pub async fn unknown_workers(database: &dyn Database) {
    let engine = open(database).await;
    let of = |worker: &str| JobRow { worker: worker.to_owned(), ..new(at(0)) };
    let unknown = ["known", "Known ", "Kno", "%", "_nown", "", "Known,Other", "[\"Known\"]"];
    let mut rows: Vec<_> = (0..400).map(|number| of(unknown[number % unknown.len()])).collect();
    rows.extend((0..5).map(|_| JobRow { priority: 9, ..of(WORKER) }));
    rows.push(JobRow { scheduled_at: at(0), ..due(at(0), at(0)) });
    let jobs = insert_all(&*engine, &rows).await;
    assert_eq!(ids(&claim(&*engine, &ask(3, at(0))).await), [jobs[405].id, jobs[400].id, jobs[401].id]);
    assert_eq!(claim(&*engine, &ask(9, at(0))).await.len(), 3);
    assert!(claim(&*engine, &ask(9, at(0))).await.is_empty());
    assert!(
        claim(&*engine, &ClaimRequest { workers: &[], ..ask(9, at(0)) }).await.is_empty(),
        "knows nothing"
    );
    for job in &jobs[..400] {
        assert_eq!(fields(&super::fixture::job(&*engine, job.id).await), fields(job));
    }
    let newer = ClaimRequest { workers: &["Kno", WORKER, "known"], ..ask(1_000, at(0)) };
    assert_eq!(claim(&*engine, &newer).await.len(), 100);
}

/// A node without a lease gets nothing, before its registration and after its death.
pub async fn unregistered_nodes(database: &dyn Database) {
    let engine = open(database).await;
    let before = insert_all(&*engine, &[new(at(0)), due(at(0), at(0))]).await;
    engine.retire(OTHER).await.expect("no runs");
    for node in ["unknown", OTHER, "", "ONE", "one "] {
        let claimed = claim(&*engine, &ClaimRequest { node, ..ask(9, at(0)) }).await;
        assert!(claimed.is_empty(), "`{node}`: {claimed:?}");
    }
    for job in &before {
        assert_eq!(super::fixture::job(&*engine, job.id).await.attempt, 0);
    }
    assert_eq!(claim(&*engine, &ask(9, at(0))).await.len(), 2);
}

/// A paused queue gives nothing, for as long as it is paused, and says so.
pub async fn pauses(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &[new(at(0)), new(at(0)), due(at(0), at(0))]).await;
    let asked = async |now| engine.claim(&ask(1, now)).await.expect("a claim");
    engine.change_queue(super::fixture::QUEUE, QueueChange::Pause).await.expect("a change");
    let claimed = asked(at(0)).await;
    assert!(claimed.jobs.is_empty() && claimed.settings.paused);
    engine.change_queue(super::fixture::QUEUE, QueueChange::Resume).await.expect("a change");
    assert_eq!(asked(at(0)).await.jobs.len(), 1);
}

/// The queue's own setting takes the place of the node's, up and down to nothing.
pub async fn concurrency_setting(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 20]).await;
    let table: [(Option<u32>, u32, u32, u32, usize); 6] = [
        (Some(2), 5, 0, 0, 2),
        (Some(2), 5, 1, 0, 1),
        (Some(4), 1, 0, 0, 4),
        (Some(0), 5, 0, 0, 0),
        (Some(0), 5, 0, 3, 0),
        (None, 3, 0, 0, 3),
    ];
    for (setting, limit, running, ahead, expected) in table {
        engine.change_queue(super::fixture::QUEUE, QueueChange::Scale(setting)).await.expect("a change");
        let claimed =
            engine.claim(&ClaimRequest { running, ahead, ..ask(limit, at(0)) }).await.expect("a claim");
        assert_eq!(
            claimed.jobs.len(),
            expected,
            "{setting:?}, configured {limit}, {running} running, {ahead} ahead"
        );
        assert_eq!(claimed.settings.concurrency, setting);
    }
}

/// Room for what does not run yet, and what is claimed ahead.
pub async fn room(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 60]).await;
    for (limit, running, ahead, expected) in [
        (5, 0, 0, 5),
        (5, 2, 0, 3),
        (5, 5, 0, 0),
        (5, 9, 0, 0),
        (5, 0, 2, 7),
        (5, 5, 2, 2),
        (1, u32::MAX, 0, 0),
    ] {
        let claimed = claim(&*engine, &ClaimRequest { running, ahead, ..ask(limit, at(0)) }).await;
        assert_eq!(claimed.len(), expected, "{limit} at once, {running} running, {ahead} ahead");
    }
    let all = ClaimRequest { limits: Limits::local(u32::MAX), ..ask(1, at(0)) };
    assert_eq!(claim(&*engine, &all).await.len(), 60 - 17, "no number is too high");
}

/// What a claim changes in a job, and what it does not.
pub async fn what_a_claim_changes(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let full = JobRow { tags: vec!["tag".to_owned()], concurrency_key: Some("key".to_owned()), ..new(at(0)) };
    let inserted = insert(&*engine, full).await;
    let first = claim_one(&*engine, at(5)).await;
    let expected = Job {
        state: State::Executing,
        attempt: 1,
        attempted_at: Some(at(5)),
        node: Some(NODE.to_owned()),
        ..inserted
    };
    assert_eq!(fields(&first), fields(&expected));
    assert_eq!(fields(&job(&*other, first.id).await), fields(&expected));

    let again = end_with_all(&first, State::Retryable, at(6));
    let again = Settlement { follow_ons: Vec::new(), uncounted: 1, snoozed: true, ..again };
    let meta = again.meta.clone().expect("it has notes");
    assert!(settle(&*engine, again, at(6)).await);
    let second = claim(&*other, &ClaimRequest { node: OTHER, ..ask(1, at(7)) }).await.remove(0);
    let expected = Job {
        attempt: 2,
        uncounted: 1,
        snoozes: 1,
        attempted_at: Some(at(7)),
        scheduled_at: at(6),
        node: Some(OTHER.to_owned()),
        continuation: continuing("session", Some(HOST)),
        reason: None,
        meta,
        ..expected
    };
    assert_eq!(fields(&second), fields(&expected), "the reason is gone, the session stays");
}

/// Other queues are left alone, whatever they are called.
pub async fn other_queues(database: &dyn Database) {
    let engine = open(database).await;
    let names = ["tests2", "test", "Tests", "tests ", "%", "t_sts"];
    let rows: Vec<_> = names.iter().map(|name| JobRow { queue: (*name).to_owned(), ..new(at(0)) }).collect();
    let before = insert_all(&*engine, &rows).await;
    let own = insert(&*engine, new(at(0))).await;
    assert_eq!(ids(&claim(&*engine, &ask(99, at(0))).await), [own.id]);
    assert_eq!(fields(&all_jobs(&*engine).await[..names.len()].to_vec()), fields(&before));
}

/// Ten thousand jobs, claimed by four tasks over two connections: each job once, none left behind.
pub async fn two_connections(database: &dyn Database) {
    const JOBS: usize = 10_000;
    let engines = [open(database).await, database.connect().await];
    for _ in 0..10 {
        insert_all(&*engines[0], &vec![new(at(0)); JOBS / 10]).await;
    }
    let claimed = race::claim_all(&engines, JOBS, 60).await;
    for batch in &claimed {
        assert!(batch.is_sorted_by(|one, next| one.id < next.id), "in order within a claim");
        assert!(batch.iter().all(|job| job.attempt == 1));
    }
    let jobs: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(jobs.len(), JOBS);
    assert_eq!(jobs.iter().map(|job| job.id).collect::<HashSet<_>>().len(), JOBS);
    for (node, queue) in [(NODE, super::fixture::QUEUE), (OTHER, super::fixture::QUEUE)] {
        let held = engines[0].held(node, queue).await.expect("a read");
        let mine: HashSet<_> =
            jobs.iter().filter(|job| job.node.as_deref() == Some(node)).map(|job| job.id).collect();
        assert_eq!(held.iter().map(|job| job.id).collect::<HashSet<_>>(), mine);
    }
}

/// What a node holds: its own, of that queue, as long as they run.
pub async fn held(database: &dyn Database) {
    let engine = open(database).await;
    let elsewhere = |queue: &str| JobRow { queue: queue.to_owned(), ..new(at(0)) };
    let rows = [new(at(0)), new(at(0)), new(at(0)), elsewhere("other"), due(at(0), at(99)), new(at(0))];
    let jobs = insert_all(&*engine, &rows).await;
    let mine = claim(&*engine, &ask(3, at(1))).await;
    claim(&*engine, &ClaimRequest { queue: "other", ..ask(3, at(1)) }).await;
    claim(&*engine, &ClaimRequest { node: OTHER, ..ask(3, at(1)) }).await;
    let held = async |node: &str, queue: &str| {
        let mut held = engine.held(node, queue).await.expect("a read");
        held.sort_by_key(|job| job.id);
        held
    };
    assert_eq!(fields(&held(NODE, super::fixture::QUEUE).await), fields(&mine), "whole jobs");
    assert_eq!(ids(&held(OTHER, super::fixture::QUEUE).await), [jobs[5].id]);
    assert_eq!(ids(&held(NODE, "other").await), [jobs[3].id]);
    assert!(held(OTHER, "other").await.is_empty() && held("nobody", super::fixture::QUEUE).await.is_empty());
    engine.cancel(mine[1].id, at(2)).await.expect("it runs");
    assert!(settle(&*engine, end(&mine[0], State::Available, at(2)), at(2)).await);
    let left = held(NODE, super::fixture::QUEUE).await;
    assert_eq!(ids(&left), [mine[1].id, mine[2].id]);
    assert!(left[0].cancel_requested);
}
