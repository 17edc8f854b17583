//! Nodes: registration, leases, death; and the jobs of dead ones.

use std::time::Duration;

use super::Database;
use super::fixture::{
    NODE, OTHER, all_jobs, ask, at, claim, due, end, fields, ids, insert_all, new, node, open, register,
    running, settle,
};
use crate::engine::{ClaimRequest, Engine, NodeRow};
use crate::job::{Job, State};

async fn nodes(engine: &dyn Engine) -> Vec<NodeRow> {
    let mut nodes = engine.nodes().await.expect("a read");
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    nodes
}

async fn orphans(engine: &dyn Engine, dead: &[NodeRow]) -> Vec<Job> {
    let mut jobs = engine.orphans(dead).await.expect("a look");
    jobs.sort_by_key(|job| job.id);
    jobs
}

/// A node is seen as it registered; a renewal moves its lease and nothing else.
pub async fn registration(database: &dyn Database) {
    let (engine, other) = (database.connect().await, database.connect().await);
    let first = NodeRow { host: "hôst '\"".to_owned(), process: "1 2 3".to_owned(), ..node("a") };
    assert!(!engine.renew(&first, true).await.expect("a write"), "not registered yet");
    assert!(nodes(&*engine).await.is_empty());
    assert!(engine.renew(&first, false).await.expect("a write"));
    register(&*other, "b").await;
    assert_eq!(nodes(&*other).await, [first.clone(), node("b")]);
    let renewed = NodeRow { lease_until: at(60), lease: Duration::from_micros(1), ..first.clone() };
    let lies =
        NodeRow { host: "else".to_owned(), process: "else".to_owned(), started_at: at(9), ..renewed.clone() };
    assert!(engine.renew(&lies, true).await.expect("a write"));
    assert_eq!(nodes(&*other).await, [renewed, node("b")]);
}

/// A retired node is gone; one that is not there can be retired too.
pub async fn retirement(database: &dyn Database) {
    let engine = open(database).await;
    engine.retire(NODE).await.expect("no runs");
    engine.retire(NODE).await.expect("gone already");
    assert_eq!(nodes(&*engine).await, [node(OTHER)]);
    assert!(!engine.renew(&node(NODE), true).await.expect("a write"), "a retired node does not come back");
}

/// A node that was declared dead cannot renew itself back to life, nor claim.
pub async fn death(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let run = running(&*engine, new(at(0))).await;
    insert_all(&*engine, &[new(at(0))]).await;
    assert_eq!(ids(&orphans(&*other, &[node(NODE)]).await), [run.id]);
    assert_eq!(nodes(&*engine).await, [node(OTHER)]);
    assert!(!engine.renew(&NodeRow { lease_until: at(99), ..node(NODE) }, true).await.expect("a write"));
    assert!(claim(&*engine, &ask(1, at(1))).await.is_empty());
    assert_eq!(nodes(&*engine).await, [node(OTHER)]);
}

/// Whoever has renewed since it was last looked at is alive, by however little.
pub async fn a_renewal_at_the_last_moment(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    running(&*engine, new(at(0))).await;
    let seen = nodes(&*other).await;
    let lease_until = super::fixture::just_after(seen[0].lease_until);
    assert!(engine.renew(&NodeRow { lease_until, ..node(NODE) }, true).await.expect("a write"));
    assert!(orphans(&*other, &seen[..1]).await.is_empty());
    assert_eq!(nodes(&*other).await.len(), 2);
    // A lease that moved back has changed as well: clocks may be set.
    let earlier = NodeRow { lease_until: at(-500), ..node(NODE) };
    assert!(engine.renew(&earlier, true).await.expect("a write"));
    assert!(orphans(&*other, &[NodeRow { lease_until, ..node(NODE) }]).await.is_empty());
    assert_eq!(orphans(&*other, &[earlier]).await.len(), 1);
}

/// The jobs that run without a living node: of those just declared dead, of those dead before, and of
/// no node at all; nobody else's.
pub async fn jobs_without_a_node(database: &dyn Database) {
    let engine = open(database).await;
    for id in ["dead before", "retired"] {
        register(&*engine, id).await;
    }
    let rows = vec![new(at(0)); 8];
    insert_all(&*engine, &rows).await;
    let mut expected = Vec::new();
    for id in [NODE, OTHER, "dead before", "retired"] {
        let jobs = claim(&*engine, &ClaimRequest { node: id, ..ask(2, at(1)) }).await;
        if id != OTHER {
            expected.extend(jobs);
        }
    }
    insert_all(&*engine, &[new(at(0)), due(at(0), at(9))]).await;
    assert!(orphans(&*engine, &[]).await.is_empty(), "all of them live");
    assert_eq!(orphans(&*engine, &[node("dead before")]).await.len(), 2);
    engine.retire("retired").await.expect("a write");
    let found = orphans(&*engine, &[node(NODE), node("never heard of")]).await;
    assert_eq!(fields(&found), fields(&expected), "whole jobs");
    assert_eq!(ids(&orphans(&*engine, &[]).await), ids(&expected), "until somebody settles them");
    let lost: Vec<_> = expected[..5].iter().map(|job| end(job, State::Retryable, at(2))).collect();
    engine.settle(&lost, at(2)).await.expect("a settlement");
    assert_eq!(ids(&orphans(&*engine, &[]).await), [expected[5].id]);
}

/// Two that look after the dead at once find the same jobs; one of them settles each.
pub async fn two_rescuers(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    insert_all(&*engines[0], &vec![new(at(0)); 50]).await;
    claim(&*engines[0], &ask(50, at(0))).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (now, engine) in [at(1), at(2)].into_iter().zip(engines.clone()) {
        tasks.spawn(async move {
            let jobs = orphans(&*engine, &[node(NODE)]).await;
            let mut settled = 0;
            for job in &jobs {
                settled += usize::from(settle(&*engine, end(job, State::Retryable, now), now).await);
            }
            settled
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 50);
    for job in all_jobs(&*engines[0]).await {
        assert_eq!(engines[0].runs(job.id).await.expect("a read").len(), 1);
    }
}

/// A node is told of the runs of its own that somebody wants cancelled.
pub async fn cancel_requests(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    insert_all(&*engine, &vec![new(at(0)); 5]).await;
    let mine = claim(&*engine, &ask(3, at(0))).await;
    let theirs = claim(&*engine, &ClaimRequest { node: OTHER, ..ask(1, at(0)) }).await;
    let waits = all_jobs(&*engine).await[4].id;
    for id in [mine[2].id, mine[0].id, theirs[0].id, waits] {
        other.cancel(id, at(1)).await.expect("it is not over");
    }
    let asked = async |node: &str| {
        let mut ids = engine.cancel_requests(node).await.expect("a read");
        ids.sort();
        ids
    };
    assert_eq!(asked(NODE).await, [mine[0].id, mine[2].id]);
    assert_eq!(asked(OTHER).await, [theirs[0].id]);
    assert!(asked("nobody").await.is_empty());
    assert!(settle(&*engine, end(&mine[0], State::Cancelled, at(2)), at(2)).await);
    assert_eq!(asked(NODE).await, [mine[2].id]);
}

/// The same database has the same id, whoever opens it.
pub async fn database_id(database: &dyn Database) {
    let (one, other) = (database.connect().await, database.connect().await);
    assert_eq!(one.database_id(), other.database_id());
    assert!(!one.database_id().is_nil());
}
