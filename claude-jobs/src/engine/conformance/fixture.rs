//! Jobs, requests and settlements for the checks, and what is asked again and again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Database;
use crate::clock::{later, timestamp};
use crate::engine::{BusyLook, ClaimRequest, Engine, Filter, Limits, NodeRow, Settled};
use crate::job::{
    AttemptError, Continuation, Inserted, Job, JobId, JobRow, RunRow, Session, State, UniqueRow,
};
use crate::options::ArgMap;
use crate::settlement::Settlement;

/// The queue, worker and node of whatever names no other.
pub(super) const QUEUE: &str = "tests";
pub(super) const WORKER: &str = "Known";
pub(super) const NODE: &str = "one";
/// The account of whatever names no other.
pub(super) const ACCOUNT: &str = "account";
/// Another node, which is registered too.
pub(super) const OTHER: &str = "two";
/// All that are registered.
pub(super) const NODES: [&str; 2] = [NODE, OTHER];
/// Where nodes keep their sessions.
pub(super) const HOSTS: [&str; 2] = [HOST, "elsewhere"];
pub(super) const HOST: &str = "here";

/// Time is told, never read: so many seconds after some moment.
pub(super) fn at(seconds: i64) -> Timestamp {
    timestamp((1_900_000_000 + seconds) * 1_000_000)
}

/// The smallest step of time that is kept.
pub(super) fn just_after(moment: Timestamp) -> Timestamp {
    later(moment, Duration::from_micros(1))
}

pub(super) fn just_before(moment: Timestamp) -> Timestamp {
    timestamp(moment.as_microsecond() - 1)
}

/// Opens the database, where both nodes are registered.
pub(super) async fn open(database: &dyn Database) -> Arc<dyn Engine> {
    let engine = database.connect().await;
    for node in NODES {
        register(&*engine, node).await;
    }
    engine
}

pub(super) fn node(id: &str) -> NodeRow {
    NodeRow {
        id: id.to_owned(),
        host: "host".to_owned(),
        process: "process".to_owned(),
        session_host: HOST.to_owned(),
        started_at: at(0),
        lease_until: at(30),
        lease: Duration::from_secs(30),
        account: ACCOUNT.to_owned(),
        queues: vec![QUEUE.to_owned()],
        fault: None,
    }
}

pub(super) async fn register(engine: &dyn Engine, id: &str) {
    assert!(engine.renew(&node(id), false).await.expect("a registration"), "{id} is new");
}

/// A job that may be claimed at once.
pub(super) fn new(now: Timestamp) -> JobRow {
    JobRow {
        state: State::Available,
        queue: QUEUE.to_owned(),
        worker: WORKER.to_owned(),
        input: json!({}),
        args: ArgMap::new(),
        meta: Map::new(),
        tags: Vec::new(),
        priority: 0,
        max_attempts: 3,
        max_snoozes: 3,
        inserted_at: now,
        scheduled_at: now,
        concurrency_key: None,
        unique: None,
        trace: None,
    }
}

/// A job that waits for its time.
pub(super) fn due(now: Timestamp, due: Timestamp) -> JobRow {
    JobRow { state: State::Scheduled, scheduled_at: due, ..new(now) }
}

pub(super) fn keyed(key: &str, now: Timestamp) -> JobRow {
    JobRow { concurrency_key: Some(key.to_owned()), ..new(now) }
}

pub(super) fn unique(key: &str, until: Option<Timestamp>, states: &[State], now: Timestamp) -> JobRow {
    JobRow { unique: Some(UniqueRow { key: key.to_owned(), until, states: states.to_vec() }), ..new(now) }
}

/// Inserts, and answers for each row.
pub(super) async fn insert_each(engine: &dyn Engine, rows: &[JobRow]) -> Vec<Inserted> {
    let written = engine.insert(rows).await.expect("an insert");
    assert_eq!(written.len(), rows.len());
    written.into_iter().zip(rows).map(|(written, row)| written.of(row.clone())).collect()
}

/// Inserts what nothing stands in the way of.
pub(super) async fn insert_all(engine: &dyn Engine, rows: &[JobRow]) -> Vec<Job> {
    let inserted = insert_each(engine, rows).await;
    assert!(inserted.iter().all(|inserted| !inserted.duplicate), "nothing stands in the way");
    inserted.into_iter().map(|inserted| inserted.job).collect()
}

pub(super) async fn insert(engine: &dyn Engine, row: JobRow) -> Job {
    insert_all(engine, &[row]).await.remove(0)
}

/// A claim for [`NODE`] of up to so many jobs.
pub(super) fn ask(most: u32, now: Timestamp) -> ClaimRequest<'static> {
    ClaimRequest {
        queue: QUEUE,
        node: NODE,
        workers: &[WORKER],
        limits: Limits::local(most),
        running: 0,
        ahead: 0,
        host: HOST,
        at_most: u32::MAX,
        account: ACCOUNT,
        now,
    }
}

pub(super) async fn claim(engine: &dyn Engine, request: &ClaimRequest<'_>) -> Vec<Job> {
    engine.claim(request).await.expect("a claim").jobs
}

/// The one job there is to claim.
pub(super) async fn claim_one(engine: &dyn Engine, now: Timestamp) -> Job {
    let mut jobs = claim(engine, &ask(1, now)).await;
    jobs.pop().expect("a job to claim")
}

/// A job that runs on [`NODE`].
pub(super) async fn running(engine: &dyn Engine, row: JobRow) -> Job {
    let (id, queue, now) = (insert(engine, row.clone()).await.id, row.queue.as_str(), row.inserted_at);
    let job = claim_one_of(engine, queue, now).await;
    assert_eq!(job.id, id, "it is the only one");
    job
}

async fn claim_one_of(engine: &dyn Engine, queue: &str, now: Timestamp) -> Job {
    let mut jobs = claim(engine, &ClaimRequest { queue, ..ask(1, now) }).await;
    jobs.pop().expect("a job to claim")
}

/// A ledger row with as little as may be known.
pub(super) fn run_row(job: &Job, now: Timestamp) -> RunRow {
    RunRow {
        attempt: job.attempt,
        node: job.node.clone(),
        started_at: job.attempted_at.unwrap_or(now),
        finished_at: now,
        session_id: None,
        outcome: "success".to_owned(),
        verdict: "complete".to_owned(),
        ending: "exit 0".to_owned(),
        cost_usd: None,
        turns: None,
        tokens: None,
        model: None,
        cli_version: None,
        result: None,
        structured: None,
        last_events: Vec::new(),
        environment: Default::default(),
    }
}

/// The settlement that takes a run's job to a state.
pub(super) fn end(job: &Job, state: State, now: Timestamp) -> Settlement {
    Settlement {
        id: job.id,
        attempt: job.attempt,
        state,
        scheduled_at: now,
        finished_at: state.is_final().then_some(now),
        reason: None,
        uncounted: 0,
        snoozed: false,
        meta: None,
        continuation: Continuation::default(),
        error: None,
        run: run_row(job, now),
        follow_ons: Vec::new(),
    }
}

/// A settlement with everything that can go with one.
pub(super) fn end_with_all(job: &Job, state: State, now: Timestamp) -> Settlement {
    Settlement {
        reason: Some("why".to_owned()),
        meta: Some(Map::from_iter([("changed".to_owned(), Value::Bool(true))])),
        continuation: continuing("session", Some(HOST)),
        error: Some(failure(job, now)),
        follow_ons: vec![JobRow { queue: "followers".to_owned(), ..new(now) }],
        ..end(job, state, now)
    }
}

/// The job after its settlement, nobody having asked for its cancellation.
pub(super) fn after(run: &Job, new: &Settlement) -> Job {
    Job {
        state: new.state,
        scheduled_at: new.scheduled_at,
        finished_at: new.finished_at,
        reason: new.reason.clone(),
        snoozes: run.snoozes + u32::from(new.snoozed),
        uncounted: run.uncounted.saturating_add_signed(new.uncounted),
        meta: new.meta.clone().unwrap_or_else(|| run.meta.clone()),
        continuation: new.continuation.clone(),
        node: None,
        ..run.clone()
    }
}

pub(super) fn failure(job: &Job, now: Timestamp) -> AttemptError {
    AttemptError { attempt: job.attempt, at: now, kind: "overloaded".into(), message: "try later".into() }
}

/// Settles one run.
pub(super) async fn settle(engine: &dyn Engine, settlement: Settlement, now: Timestamp) -> bool {
    let settled = engine.settle(&[settlement], now).await.expect("a settlement");
    assert_eq!(settled.len(), 1);
    settled[0].is_written()
}

/// Which of a batch are written.
pub(super) fn written(settled: &[Settled]) -> Vec<bool> {
    settled.iter().map(|settled| settled.is_written()).collect()
}

/// A session to continue, which is there.
pub(super) fn continuing(session: &str, host: Option<&str>) -> Continuation {
    let session = Session { host: host.map(str::to_owned), ..Session::new(session) };
    Continuation { session: Some(session), ..Continuation::default() }
}

/// Whether there is something to do in these queues for these workers.
pub(super) async fn is_busy(engine: &dyn Engine, queues: &[&str], workers: &[&str], now: Timestamp) -> bool {
    let ClaimRequest { host, .. } = ask(1, now);
    let look = BusyLook { queues, workers, host, now };
    engine.is_busy(&look).await.expect("a look")
}

pub(super) async fn job(engine: &dyn Engine, id: JobId) -> Job {
    engine.job(id).await.expect("a read").expect("the job is there")
}

pub(super) async fn state(engine: &dyn Engine, id: JobId) -> State {
    job(engine, id).await.state
}

/// All of them, oldest first.
pub(super) async fn all_jobs(engine: &dyn Engine) -> Vec<Job> {
    let filter = Filter { limit: u32::MAX, ..Filter::default() };
    let mut jobs = engine.jobs(&filter).await.expect("a list");
    jobs.reverse();
    jobs
}

pub(super) fn ids(jobs: &[Job]) -> Vec<JobId> {
    jobs.iter().map(|job| job.id).collect()
}

/// Every field, to compare.
pub(super) fn fields(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("it is JSON")
}

/// Whether an engine has written all that goes with [`end_with_all`], or nothing of it.
pub(super) async fn assert_untouched(engine: &dyn Engine, before: &[Job], what: &str) {
    assert_eq!(fields(&all_jobs(engine).await), fields(&before), "{what}: jobs");
    for job in before {
        assert!(engine.runs(job.id).await.expect("a read").is_empty(), "{what}: ledger of {}", job.id);
        assert!(engine.errors(job.id).await.expect("a read").is_empty(), "{what}: errors of {}", job.id);
    }
    assert!(engine.queues().await.expect("a read").is_empty(), "{what}: queues");
}
