//! Leases that are lost: what is stopped, what is not claimed, who is not taken for dead.

use super::*;
use crate::claude::Stop;
use crate::clock::Clock;
use crate::engine::ClaimRequest;
use crate::job::{JobId, NewJob};
use crate::node::{Sightings, Terms};
use crate::passthrough::Passthrough;
use crate::queue::Queue;
use crate::service::rescue;
use crate::worker::Worker;

/// A registered node over a database of its own, and the database's file.
async fn node(clock: &Clock) -> (Arc<Shared>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let queue = Queue::connect(&url).await.expect("a new database").with_clock(clock.clone());
    let queue = queue.register::<Passthrough>().expect("one of its name");
    let shared = Shared::of(queue).await.expect("a write");
    (Arc::new(shared), folder)
}

/// Inserts a job and claims it.
async fn claim(shared: &Shared) -> Vec<crate::Job> {
    let mut job = NewJob::new(Passthrough::DEFINITION.name, serde_json::json!({}));
    job.args.set("prompt", serde_json::json!("x"));
    shared.queue.insert(job).await.expect("valid");
    let request = ClaimRequest {
        queue: Passthrough::DEFINITION.queue,
        node: &shared.node_id(),
        workers: &[Passthrough::DEFINITION.name],
        limits: 9.into(),
        ahead: 0,
        running: 0,
        host: &shared.session_host(),
        at_most: u32::MAX,
        account: "",
        now: shared.queue.now(),
    };
    shared.queue.engine().claim(&request).await.expect("a claim").jobs
}

fn running(shared: &Shared) -> Stop {
    let stop = Stop::default();
    shared.runs().insert((JobId(1), 1), stop.clone());
    stop
}

/// A laptop sleeps for a night: every lease is over by the wall clock, nobody was silent.
#[tokio::test]
async fn a_jump_of_the_clock_takes_no_job_from_a_living_node() {
    let clock = Clock::manual(jiff::Timestamp::now());
    let (shared, _folder) = node(&clock).await;
    let other = Shared::of(shared.queue.clone()).await.expect("a write");
    let jobs = [claim(&shared).await, claim(&other).await].concat();
    assert_eq!(jobs.len(), 2);
    clock.advance(Duration::from_secs(8 * 3_600));
    rescue::once(&shared, &mut Sightings::default()).await.expect("a round");
    for job in jobs {
        let now = shared.queue.get(job.id).await.expect("a read").expect("there");
        assert_eq!(now.state, crate::State::Executing);
    }
    assert!(renew(&shared).await.expect("a write"), "we are still alive");
}

#[tokio::test]
async fn a_node_that_was_declared_dead_claims_nothing_until_it_is_registered_anew() {
    let (shared, _folder) = node(&Clock::system()).await;
    let mut dead = shared.queue.engine().nodes().await.expect("a read");
    dead[0].lease_until = later(dead[0].lease_until, Terms::DEFAULT.renew_every());
    shared.queue.engine().orphans(&dead).await.expect("a round");
    assert!(renew(&shared).await.expect("a write"), "it had renewed its lease meanwhile");

    let dead = shared.queue.engine().nodes().await.expect("a read");
    shared.queue.engine().orphans(&dead).await.expect("a round");
    assert!(claim(&shared).await.is_empty());
    assert!(!renew(&shared).await.expect("a write"));
    register_anew(&shared).await.expect("a write");
    assert_eq!(claim(&shared).await.len(), 2, "the one that was not claimed, too");
}

#[tokio::test]
async fn a_node_that_was_declared_dead_stops_its_runs_and_starts_over() {
    let (shared, _folder) = node(&Clock::system()).await;
    let (stop, before) = (running(&shared), shared.node_id());
    keep(&shared).await.expect("a write");
    assert_eq!((stop.reason(), shared.node_id()), (None, before.clone()));
    shared.queue.engine().retire(&before).await.expect("a write");
    keep(&shared).await.expect("a write");
    assert_eq!(stop.reason(), Some(StopReason::LeaseLost));
    assert_ne!(shared.node_id(), before);
}

/// Another program keeps the database locked: no renewal comes through, and another node may take the jobs over.
#[tokio::test]
async fn a_node_that_cannot_renew_stops_its_runs_before_its_lease_ends() {
    use sqlx::{Connection, Executor};
    let (shared, folder) = node(&Clock::system()).await;
    let _other = Shared::of(shared.queue.clone()).await.expect("a write");
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.expect("the file");
    other.execute("BEGIN IMMEDIATE").await.expect("the lock");
    tokio::time::pause();
    let (stop, start) = (running(&shared), Instant::now());
    let serving = tokio::spawn(serve(Arc::clone(&shared), CancellationToken::new()));
    assert_eq!(timeout(Terms::DEFAULT.lease(), stop.fired()).await, Ok(StopReason::LeaseLost));
    assert!(
        start.elapsed() <= Terms::DEFAULT.patience() + Terms::DEFAULT.renew_every() / 15,
        "{:?}",
        start.elapsed()
    );
    serving.abort();
}

/// Read while the database is locked.
#[tokio::test]
async fn a_node_is_alone_where_no_living_one_is_registered_beside_it() {
    let (shared, _folder) = node(&Clock::system()).await;
    let renewed = Moment::now();
    assert!(alone(&shared, renewed).await.is_some());
    let engine = shared.queue.engine();
    let mut other = node::this_node(Terms::DEFAULT, "host".to_owned(), shared.queue.now());
    engine.renew(&other, false).await.expect("a write");
    assert!(alone(&shared, renewed).await.is_none(), "it may take our jobs over");
    engine.retire(&other.id).await.expect("a write");
    let mut child = std::process::Command::new("true").spawn().expect("it exists");
    other.process = other
        .process
        .rsplit_once('/')
        .map(|(place, _)| place.rsplit_once('/'))
        .expect("four parts")
        .map(|(place, _)| format!("{place}/{}/1", child.id()))
        .expect("four parts");
    child.wait().expect("it is ours");
    engine.renew(&other, false).await.expect("a write");
    assert!(alone(&shared, renewed).await.is_some(), "its process is gone");
    engine.retire(&shared.node_id()).await.expect("a write");
    assert!(alone(&shared, renewed).await.is_none(), "we were declared dead");
}
