//! Jobs run: what a settlement writes, what it must not, limits, many claims at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::engine::{Cancelled, Limits};
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use futures_util::future::join_all;
use serde_json::json;

use super::Server;
use crate::workers::{Obedient, Plain, success, until_stopped};

async fn drain(queue: &Queue, limits: impl Into<Limits>, claude: impl Claude + 'static) {
    let builder = Runtime::builder(queue.clone()).queue("tests", limits).claude(claude);
    builder.drain().await.expect("it drains");
}

async fn done(_: Request) -> Result<Report, RunnerError> {
    Ok(success("fine"))
}

#[tokio::test]
async fn a_run_leaves_its_row_ledger_and_follow_ons() {
    let server = Server::new().await;
    let queue = &server.queue;
    let followed = Obedient::new("follow".into()).insert(queue).await.expect("valid");
    let retried = Obedient::new("retry".into()).insert(queue).await.expect("valid");
    drain(queue, 4, |_: Request| async { Ok::<_, RunnerError>(success("what was \0 paid for")) }).await;

    let details = queue.details(followed.id()).await.expect("the job");
    assert_eq!((details.job.state, details.job.attempt), (State::Completed, 1));
    assert_eq!(details.job.meta["seen"], json!(1));
    let run = &details.runs[0];
    assert_eq!(run.result.as_deref(), Some("what was \u{fffd} paid for"), "PostgreSQL holds no NUL");
    assert_eq!((run.cost_usd, run.tokens.map(|tokens| tokens.output)), (Some(0.25), Some(4)));
    assert_eq!(server.database.psql("select count(*) from claude_jobs.jobs where worker = 'Plain'"), "1");

    let details = queue.details(retried.id()).await.expect("the job");
    assert_eq!(details.job.state, State::Retryable);
    assert!(details.job.node.is_none() && details.job.reason.as_deref() == Some("as ordered"));
    assert!(matches!(queue.cancel(retried.id()).await.expect("it waits"), Cancelled::Now));
    queue.retry(retried.id()).await.expect("it is over");
    queue.cancel(retried.id()).await.expect("it waits");
    queue.delete(retried.id()).await.expect("it is over");
    let left = "select (select count(*) from claude_jobs.runs where job_id = $) \
        + (select count(*) from claude_jobs.errors where job_id = $)";
    assert_eq!(server.database.psql(&left.replace('$', &retried.id().to_string())), "0");
    assert!(queue.delete(retried.id()).await.is_err(), "there is none");
}

#[tokio::test]
async fn a_superseded_run_writes_nothing() {
    let server = Server::new().await;
    let queue = &server.queue;
    let job = Obedient::new("follow".into()).insert(queue).await.expect("valid");
    let database = Arc::new(server.database.url());
    let claude = move |_: Request| {
        let url = Arc::clone(&database);
        async move {
            // Somebody takes the job away while it runs.
            use sqlx::{Connection, Executor};
            let mut connection = sqlx::PgConnection::connect(&url).await.expect("the database is there");
            let sql = "update claude_jobs.jobs set attempt = attempt + 1";
            connection.execute(sql).await.expect("an update");
            Ok::<_, RunnerError>(success("too late"))
        }
    };
    let runtime = Runtime::builder(queue.clone()).queue("tests", 1).claude(claude);
    let ended = runtime.run_until(async {
        until(|| server.database.psql("select max(attempt) from claude_jobs.jobs") == "2").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
    ended.await.expect("it ends");
    let details = queue.details(job.id()).await.expect("the job");
    assert!(details.runs.is_empty() && details.job.meta.is_empty());
    assert_eq!(server.database.psql("select count(*) from claude_jobs.jobs"), "1", "no follow-on");
}

/// Awaits a condition that others bring about.
async fn until(condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came about");
}

#[tokio::test]
async fn a_running_job_is_cancelled_from_another_connection() {
    let server = Server::new().await;
    let job = Plain::new("runs on").insert(&server.queue).await.expect("valid");
    let other = Queue::connect(&server.url()).await.expect("there");
    let runtime = Runtime::builder(server.queue.clone()).queue("tests", 1).claude(until_stopped);
    let asked = async {
        until(|| server.database.psql("select state from claude_jobs.jobs") == "executing").await;
        assert!(matches!(other.cancel(job.id()).await.expect("it runs"), Cancelled::Requested));
        until(|| server.database.psql("select state from claude_jobs.jobs") == "cancelled").await;
    };
    runtime.run_until(asked).await.expect("it ends");
}

/// A job runs elsewhere when a drain asks whether anything does, and waits to be run again when it is answered.
#[tokio::test]
async fn a_drain_sees_what_becomes_due_while_it_asks() {
    use sqlx::{Connection, Executor};
    let server = Server::new().await;
    let (queue, database) = (&server.queue, &server.database);
    let job = Plain::new("elsewhere").insert(queue).await.expect("valid");
    // On another host: whether its process lives cannot be seen from here.
    database.psql(
        "INSERT INTO claude_jobs.nodes VALUES ('other', 'host', 'process', now(), now() + interval '1 h', 3600000000); \
         UPDATE claude_jobs.jobs SET state = 'executing', attempt = 1, node = 'other'",
    );
    let drained = Runtime::builder(queue.clone()).queue("tests", 1).claude(done).drain();
    let lost = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut connection = sqlx::PgConnection::connect(&server.url()).await.expect("the database is there");
        connection
            .execute("BEGIN; LOCK TABLE claude_jobs.jobs IN ACCESS EXCLUSIVE MODE")
            .await
            .expect("a lock");
        until(|| {
            let asks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                AND datname = current_database() AND query LIKE 'WITH open AS%'";
            database.psql(asks) != "0"
        })
        .await;
        let over = "UPDATE claude_jobs.jobs SET state = 'retryable', node = NULL, scheduled_at = clock_timestamp(); \
            COMMIT";
        connection.execute(over).await.expect("a change");
    };
    let (drained, ()) = tokio::join!(drained, lost);
    drained.expect("it drains");
    let job = queue.get(job.id()).await.expect("a read").expect("there");
    assert_eq!((job.state, job.attempt), (State::Completed, 2));
}

#[tokio::test]
async fn no_job_is_claimed_twice_however_many_claim() {
    let server = Server::new().await;
    let jobs = (0..400).map(|number| Plain::new(format!("job {number}")).into_new_job().expect("fields"));
    server.queue.insert_many(jobs).await.expect("valid");
    let runs = Arc::new(AtomicUsize::new(0));
    let nodes = (0..4).map(|_| async {
        let queue = Queue::connect(&server.url()).await.expect("there");
        let runs = Arc::clone(&runs);
        let claude = move |request: Request| {
            runs.fetch_add(1, Ordering::SeqCst);
            done(request)
        };
        // A job that is claimed ahead may be given back, which is an attempt, too.
        drain(&queue, Limits::local(5).claim_ahead(false), claude).await;
    });
    join_all(nodes).await;
    assert_eq!(runs.load(Ordering::SeqCst), 400);
    // A job that was claimed ahead may have been given back, unstarted.
    let counts =
        "select count(*) || ' ' || max(attempt - uncounted) || ' ' || min(state) from claude_jobs.jobs";
    assert_eq!(server.database.psql(counts), "400 1 completed");
    let runs = "select count(*) from claude_jobs.runs where verdict = 'complete'";
    assert_eq!(server.database.psql(runs), "400");
}

#[tokio::test]
async fn jobs_whose_time_has_come_go_by_priority() {
    let server = Server::new().await;
    let job = |text: &str, priority| Plain::new(text).priority(priority).into_new_job().expect("fields");
    server.queue.insert_many([job("last", 5), job("first", 1)]).await.expect("valid");
    server.database.psql("update claude_jobs.jobs set state = 'scheduled' where priority = 1");
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let claude = move |request: Request| {
        seen.lock().expect("no panic").push(request.options.prompt.clone());
        done(request)
    };
    drain(&server.queue, Limits::local(1).claim_ahead(false), claude).await;
    let order = order.lock().expect("no panic").clone();
    assert_eq!(format!("{order:?}"), r#"[Some("first"), Some("last")]"#);
}

#[tokio::test]
async fn limits_hold_across_nodes() {
    let server = Server::new().await;
    let keyed = (0..20).map(|number| {
        Plain::new("x").concurrency_key(format!("key {}", number % 2)).into_new_job().expect("fields")
    });
    let plain = (0..40).map(|_| Plain::new("x").into_new_job().expect("fields"));
    server.queue.insert_many(keyed.chain(plain)).await.expect("valid");
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let nodes = (0..3).map(|_| async {
        let queue = Queue::connect(&server.url()).await.expect("there");
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let claude = move |request: Request| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                done(request).await
            }
        };
        drain(&queue, Limits::local(10).global(4), claude).await;
    });
    let overlaps = "select count(*) from claude_jobs.jobs a join claude_jobs.jobs b \
        on a.concurrency_key = b.concurrency_key and a.id <> b.id \
        where a.state = 'executing' and b.state = 'executing'";
    let watched = async {
        let is_over = "select count(*) from claude_jobs.jobs where state <> 'completed'";
        while server.database.psql(is_over) != "0" {
            assert_eq!(server.database.psql(overlaps), "0", "two of one key");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(join_all(nodes), watched);
    assert_eq!(most.load(Ordering::SeqCst), 4);
}
