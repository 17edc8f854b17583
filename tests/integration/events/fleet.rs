//! The events of the fleet: each run once, whoever ran it, whatever happens to the connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use claude_jobs::event::{Cursor, EventKind, Events, Progress};
use claude_jobs::outcome::Report;
use sqlx::{Connection, Executor};
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::workers::{Obedient, Plain};

const SOON: Duration = Duration::from_secs(60);

/// A success of a run that cost so many cents, as the prompt says.
fn costing(request: Request) -> std::future::Ready<Result<Report, RunnerError>> {
    let cents: f64 = request.prompt().parse().expect("the prompt is a number");
    let event = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": "fine",
        "model_usage_since_last_result": {"model": {"costUSD": cents / 100.0, "inputTokens": 3, "outputTokens": 4}},
    });
    std::future::ready(Ok(Report::from_events([&event], 0)))
}

/// What was told.
#[derive(Default)]
struct Told {
    started: BTreeSet<(JobId, u32)>,
    /// What each run has cost, in cents.
    ended: BTreeMap<(JobId, u32), f64>,
}

impl Told {
    async fn until(&mut self, events: &mut Events, runs: usize) {
        while self.ended.len() < runs {
            let event = timeout(SOON, events.next()).await.expect("soon");
            let key = (event.job, event.attempt);
            if event.kind == EventKind::Started {
                self.started.insert(key);
            }
            let Some(ended) = event.kind.ended() else { continue };
            assert!(self.started.contains(&key), "its start was told before");
            assert_eq!(
                self.ended.insert(key, ended.cost_usd.unwrap_or(0.0) * 100.0),
                None,
                "told twice: {key:?}"
            );
        }
    }

    fn cents(&self) -> f64 {
        self.ended.values().sum()
    }
}

/// What the ledger says, in cents.
async fn ledger(queue: &Queue, jobs: &[JobId]) -> (usize, f64) {
    let (mut runs, mut cents) = (0, 0.0);
    for job in jobs {
        for run in queue.details(*job).await.expect("a read").runs {
            (runs, cents) = (runs + 1, cents + run.cost_usd.unwrap_or(0.0) * 100.0);
        }
    }
    (runs, cents)
}

/// Four runtimes with connections of their own, a reader that goes away in the middle, and connections that are
/// lost: the costs that are told add up to those of the ledger.
async fn add_up(site: Site) {
    const JOBS: u32 = 600;
    let queue = site.queue().await;
    let reader = site.queue().await;
    let mut events = reader.events().every(Duration::from_millis(20)).await.expect("a subscription");
    let (end, ended) = watch::channel(false);
    let mut runtimes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (queue, mut ended) = (site.queue().await, ended.clone());
        // A job that was claimed ahead may be given back, which is a run, too.
        let limits = Limits::local(3).claim_ahead(false);
        let runtime = Runtime::builder(queue).queue("tests", limits).claude(costing);
        let runtime = runtime.run_until(async move { drop(ended.wait_for(|ended| *ended).await) });
        runtimes.spawn(async move { runtime.await.expect("it ends") });
    }
    // One that cannot even register itself does not start.
    while queue.engine().nodes().await.expect("a read").len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let jobs = (1..=JOBS).map(|cents| Plain::new(cents.to_string()).into_new_job().expect("valid"));
    let inserted = queue.insert_many(jobs).await.expect("valid");
    let jobs: Vec<_> = inserted.iter().map(|inserted| inserted.id()).collect();
    let mut told = Told::default();
    told.until(&mut events, 100).await;
    if let Site::Postgres(database) = &site {
        database.psql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() \
             and datname = current_database()",
        );
    }
    told.until(&mut events, 200).await;
    // Another reader goes on where this one has stopped, in the middle of what it has read.
    let cursor: Cursor = events.cursor().to_string().parse().expect("its own text");
    drop(events);
    // The connection that it gets may be one of those that were ended.
    let mut events = loop {
        match reader.events().after(cursor.clone()).await {
            Ok(events) => break events,
            Err(error) => assert!(matches!(error, claude_jobs::Error::Database(_)), "{error}"),
        }
    };
    told.until(&mut events, JOBS as usize).await;
    end.send_replace(true);
    runtimes.join_all().await;
    // A run that was settled twice, or not told: nothing more comes, and nothing is missing.
    let (runs, cents) = ledger(&site.queue().await, &jobs).await;
    told.until(&mut events, runs).await;
    assert_eq!((told.ended.len(), told.cents().round()), (runs, cents.round()));
    assert!(timeout(Duration::from_millis(600), events.next()).await.is_err(), "nothing is told twice");
    let from_the_start = jiff::Timestamp::UNIX_EPOCH;
    let mut all = Told::default();
    all.until(&mut reader.events().since(from_the_start).await.expect("a subscription"), runs).await;
    assert_eq!(all.cents().round(), cents.round());
}

#[tokio::test]
async fn costs_add_up_to_the_ledger_on_sqlite() {
    add_up(Site::sqlite()).await;
}

#[tokio::test]
async fn costs_add_up_to_the_ledger_on_postgres() {
    add_up(Site::postgres()).await;
}

/// A transaction that began first and is committed last: it holds nobody back, and is not missed.
#[tokio::test]
async fn a_late_commit_is_told_and_holds_nothing_back() {
    let site = Site::postgres();
    let Site::Postgres(database) = &site else { unreachable!() };
    let queue = site.queue().await;
    let late =
        Plain::new("1").schedule_in(Duration::from_secs(3_600)).insert(&queue).await.expect("valid").id();
    let mut events = queue.events().every(Duration::from_millis(20)).await.expect("a subscription");
    let mut open = sqlx::PgConnection::connect(&database.url()).await.expect("there");
    let settle = format!(
        "BEGIN; INSERT INTO claude_jobs.runs (job_id, attempt, started_at, finished_at, outcome, verdict, ending, \
         cost_usd) VALUES ({late}, 1, now(), now(), 'success', 'complete', 'exit 0', 0.5)"
    );
    open.execute(sqlx::AssertSqlSafe(settle)).await.expect("it is written");
    let mut next = async || loop {
        let event = timeout(SOON, events.next()).await.expect("soon");
        if event.kind.ended().is_some() {
            return event.job;
        }
    };
    for _ in 0..3 {
        let job = Plain::new("2").insert(&queue).await.expect("valid").id();
        let runtime = Runtime::builder(queue.clone()).queue("tests", 1).claude(costing);
        runtime.drain().await.expect("it drains");
        assert_eq!(next().await, job, "while the other is open");
    }
    open.execute("COMMIT").await.expect("it is open");
    assert_eq!(next().await, late);
    let again = timeout(Duration::from_millis(300), events.next()).await;
    assert!(again.is_err(), "{again:?}");
}

/// Progress of runs on every node, and what each came to.
async fn progress(site: Site) {
    let (queue, reader) = (site.queue().await, site.queue().await);
    let mut events = reader.events().with_progress().await.expect("a subscription");
    for (order, text) in [("", "one"), ("cancel", "two"), ("retry", "three")] {
        let job = Obedient::new(order.into()).insert(&queue).await.expect("valid").id();
        let runtime = Runtime::builder(queue.clone()).queue("tests", 1).claude(printing(vec![says(text)]));
        runtime.drain().await.expect("it drains");
        let mut told = Vec::new();
        while told.len() < 3 {
            let event = timeout(SOON, events.next()).await.expect("soon");
            assert_eq!((event.job, event.worker.as_str(), event.node.is_some()), (job, "Obedient", true));
            told.push(match &event.kind {
                EventKind::Progress(Progress::Text { text, .. }) => text.to_string(),
                kind => kind.name().to_owned(),
            });
        }
        let fate = match order {
            "cancel" => "cancelled",
            "retry" => "retried",
            _ => "completed",
        };
        assert_eq!(told.remove(0), "started");
        told.sort();
        let mut expected = [text, fate];
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn progress_of_every_node_is_told() {
    progress(Site::sqlite()).await;
    progress(Site::postgres()).await;
}
