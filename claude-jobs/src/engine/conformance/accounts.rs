//! Accounts for which claims are stopped: on every node, and on none of another account; until one that tries it says
//! otherwise.

use super::Database;
use super::fixture::{
    ACCOUNT, NODE, OTHER, QUEUE, ask, at, claim, ids, insert, insert_all, job, keyed, new, node, open,
};
use crate::engine::{AccountRow, ClaimRequest, Engine, Limits, NodeRow, QueueChange};
use crate::job::State;

fn stopped(until: i64) -> AccountRow {
    AccountRow {
        name: ACCOUNT.to_owned(),
        kind: "usage_limit".to_owned(),
        reason: "l'imite \"\u{1f600}\"".to_owned(),
        since: at(0),
        until: at(until),
        times: 1,
        queues: vec![QUEUE.to_owned()],
        trial_node: None,
    }
}

async fn accounts(engine: &dyn Engine) -> Vec<AccountRow> {
    engine.accounts().await.expect("a read")
}

/// Nothing is claimed for a stopped account, whatever the limits, even when its time is over: one node tries it first.
pub async fn stop_claims(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let rows = insert_all(&*engine, &[new(at(0)), keyed("k", at(0)), new(at(0))]).await;
    engine.block_account(&stopped(60)).await.expect("a write");
    for limits in [Limits::local(9), Limits::local(9).global(9)] {
        for now in [at(1), at(60), at(600)] {
            let claimed =
                other.claim(&ClaimRequest { limits, ahead: 3, ..ask(9, now) }).await.expect("a claim");
            assert_eq!((claimed.jobs.len(), claimed.blocked_until), (0, Some(at(60))), "{limits:?} {now}");
        }
    }
    assert_eq!(job(&*engine, rows[0].id).await.state, State::Available);
    let theirs = ClaimRequest { account: "another", ..ask(1, at(1)) };
    let claimed = other.claim(&theirs).await.expect("a claim");
    assert_eq!((ids(&claimed.jobs), claimed.blocked_until), (vec![rows[0].id], None));
}

/// What several nodes have met is one stop: the later end, the greater count, the queues of all.
pub async fn are_stopped_once(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    assert!(accounts(&*engine).await.is_empty());
    engine.block_account(&stopped(60)).await.expect("a write");
    assert_eq!(accounts(&*other).await, [stopped(60)]);
    let second = AccountRow {
        kind: "billing".to_owned(),
        since: at(5),
        until: at(30),
        times: 3,
        queues: vec!["other".to_owned(), QUEUE.to_owned()],
        ..stopped(0)
    };
    other.block_account(&second).await.expect("a write");
    let queues = vec!["other".to_owned(), QUEUE.to_owned()];
    let expected = AccountRow { kind: "billing".to_owned(), times: 3, queues, ..stopped(60) };
    assert_eq!(accounts(&*engine).await, [expected]);
}

/// Of two that would begin a trial at once one may. Only that node claims; its word ends the stop or begins another.
pub async fn are_tried_by_one_node(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let rows = insert_all(&*engine, &[new(at(0)), new(at(0))]).await;
    let begin = async |engine: &dyn Engine, seen: i64, node: &str, until: i64| {
        engine.begin_trial(ACCOUNT, at(seen), node, at(until)).await.expect("a write")
    };
    assert!(!begin(&*engine, 60, NODE, 90).await, "it is not stopped");
    engine.block_account(&stopped(60)).await.expect("a write");
    assert!(begin(&*engine, 60, NODE, 90).await);
    assert!(!begin(&*other, 60, OTHER, 91).await, "the other was first");
    let theirs = ClaimRequest { node: OTHER, ..ask(9, at(61)) };
    assert_eq!(other.claim(&theirs).await.expect("a claim").blocked_until, Some(at(90)));
    let mine = engine.claim(&ClaimRequest { at_most: 1, ..ask(9, at(61)) }).await.expect("a claim");
    assert_eq!((ids(&mine.jobs), mine.blocked_until), (vec![rows[0].id], None));
    assert!(begin(&*engine, 90, NODE, 120).await, "it goes on");
    // Another node that meets the same fault does not end the trial.
    other.block_account(&stopped(70)).await.expect("a write");
    assert_eq!(accounts(&*other).await[0].trial_node.as_deref(), Some(NODE));
    let again =
        AccountRow { kind: "billing".to_owned(), reason: "still".to_owned(), times: 2, ..stopped(100) };
    assert!(!other.end_trial(ACCOUNT, OTHER, None).await.expect("a write"), "it is not theirs");
    assert!(engine.end_trial(ACCOUNT, NODE, Some(&again)).await.expect("a write"));
    assert_eq!(accounts(&*other).await, [again]);
    assert!(!engine.end_trial(ACCOUNT, NODE, None).await.expect("a write"), "it is over");
    assert!(begin(&*other, 100, OTHER, 130).await);
    assert!(other.end_trial(ACCOUNT, OTHER, None).await.expect("a write"));
    assert!(accounts(&*engine).await.is_empty());
    assert_eq!(claim(&*engine, &ask(9, at(101))).await.len(), 1);
}

/// Resuming a queue by hand lifts the stops of its accounts, and no others.
pub async fn are_lifted_with_a_queue(database: &dyn Database) {
    let engine = open(database).await;
    insert(&*engine, new(at(0))).await;
    let other = AccountRow { name: "other".to_owned(), queues: vec!["elsewhere".to_owned()], ..stopped(60) };
    for row in [&stopped(60), &other] {
        engine.block_account(row).await.expect("a write");
    }
    for change in [QueueChange::Pause, QueueChange::Scale(Some(3))] {
        engine.change_queue(QUEUE, change).await.expect("a change");
        assert_eq!(accounts(&*engine).await.len(), 2, "{change:?}");
    }
    engine.change_queue(QUEUE, QueueChange::Resume).await.expect("a change");
    assert_eq!(accounts(&*engine).await, [other]);
    assert_eq!(claim(&*engine, &ask(9, at(1))).await.len(), 1);
}

/// A claim never takes more than it is told to.
pub async fn no_more_than_asked(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 9]).await;
    for (at_most, limits, expected) in
        [(0, Limits::local(5), 0), (2, Limits::local(5), 2), (3, Limits::local(5).global(9), 3)]
    {
        let request = ClaimRequest { at_most, limits, ahead: 4, ..ask(1, at(0)) };
        assert_eq!(claim(&*engine, &request).await.len(), expected, "{at_most}");
    }
}

/// A node's row says whose account it uses, what it serves and what ails it, from one renewal to the next.
pub async fn nodes_say_what_ails_them(database: &dyn Database) {
    let engine = open(database).await;
    let ailing = NodeRow {
        account: "another".to_owned(),
        queues: vec!["a".to_owned(), "b".to_owned()],
        fault: Some("environment: 'full'".to_owned()),
        ..node(NODE)
    };
    for row in [ailing, node(NODE)] {
        assert!(engine.renew(&row, true).await.expect("a write"));
        let nodes = engine.nodes().await.expect("a read");
        assert_eq!(nodes.iter().find(|node| node.id == NODE), Some(&row));
    }
}
