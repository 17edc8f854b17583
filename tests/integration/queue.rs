//! The queue on SQLite: what is written, what is refused, who wins.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use claude_jobs::engine::{Cancelled, Filter};
use claude_jobs::options::ArgMap;
use claude_jobs::prelude::*;
use claude_jobs::unique::{Unique, UniqueField};
use claude_jobs::{Error, NewJob};
use serde_json::json;
use sqlx::{Connection, Executor, Row};

use crate::workers::{Obedient, Once, Place, Plain, answering, until_stopped};

#[tokio::test]
async fn what_is_inserted_is_there_in_full() {
    let place = Place::new().await;
    let inserted = Plain::new("hello")
        .model("sonnet")
        .working_dir(place.folder.path())
        .priority(3)
        .max_attempts(5)
        .tags(["a", "b"])
        .meta(json!({"pr": 7}).as_object().cloned().expect("an object"))
        .insert(&place.queue)
        .await
        .expect("valid");
    assert!(!inserted.duplicate);
    let again = Queue::connect(&place.url()).await.expect("the same file");
    let job = again.get(inserted.id()).await.expect("a read").expect("the job");
    assert_eq!((job.state, job.queue.as_str(), job.worker.as_str()), (State::Available, "tests", "Plain"));
    assert_eq!((job.priority, job.max_attempts, job.attempt), (3, 5, 0));
    assert_eq!(job.args.get("prompt"), Some(&json!("hello")));
    assert_eq!((&job.tags[..], &job.meta["pr"]), (&["a".to_owned(), "b".to_owned()][..], &json!(7)));
}

#[tokio::test]
async fn a_job_that_cannot_run_is_refused_and_nothing_is_written() {
    let place = Place::new().await;
    let queue = &place.queue;
    let cases = [
        (Plain::new(" ").insert(queue).await, "`prompt` takes text"),
        (
            Plain::new("x".repeat(20 << 20)).insert(queue).await,
            "`prompt` takes text that is not blank, of at most 10485759 bytes",
        ),
        (Plain::new("x").max_turns(0).insert(queue).await, "`max_turns` takes a whole number from 1"),
        (Plain::new("x").timeout("soon").insert(queue).await, "`timeout` takes a duration"),
        (Plain::new("x").model("a\0b").insert(queue).await, "`model` takes text"),
        (Plain::new("x").priority(10).insert(queue).await, "priority `10`: give 0 (first) to 9 (last)"),
        (Plain::new("x").max_attempts(0).insert(queue).await, "max_attempts `0`: give at least 1"),
        (Plain::new("x").queue("a b").insert(queue).await, "queue name `a b`"),
        (Plain::new("x").tags(["\n"]).insert(queue).await, "tag `\\n`"),
        (queue.insert(NewJob::new("Plian", json!({}))).await, "unknown worker `Plian`"),
        (
            queue.insert(NewJob::new("Obedient", json!({}))).await,
            "input of worker `Obedient`: missing field `order`",
        ),
    ];
    for (result, expected) in cases {
        let error = result.expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected} not in {error}");
    }
    let good = Plain::new("good").into_new_job().expect("fields");
    let bad = Plain::new("bad").max_turns(0).into_new_job().expect("fields");
    assert!(queue.insert_many([good, bad]).await.is_err());
    assert!(queue.list(&Filter::default()).await.expect("a read").is_empty(), "all or none");
}

#[tokio::test]
async fn lists_filter_and_counts_count() {
    let place = Place::new().await;
    let queue = &place.queue;
    let jobs = (0..5).map(|number| {
        Plain::new(format!("job {number}")).tags([format!("t{}", number % 2)]).into_new_job().expect("fields")
    });
    let inserted = queue.insert_many(jobs).await.expect("valid");
    Plain::new("other").queue("elsewhere").insert(queue).await.expect("valid");
    let ids = async |filter: Filter| -> Vec<i64> {
        queue.list(&filter).await.expect("a read").iter().map(|job| job.id.0).collect()
    };
    let mut filter = Filter::default();
    filter.queue = Some("tests".into());
    assert_eq!(ids(filter.clone()).await, [5, 4, 3, 2, 1]);
    filter.limit = 2;
    filter.before = Some(inserted[3].id());
    assert_eq!(ids(filter).await, [3, 2]);
    let mut tagged = Filter::default();
    tagged.tag = Some("t1".into());
    assert_eq!(ids(tagged).await, [4, 2]);
    let mut none = Filter::default();
    none.state = Some(State::Completed);
    assert!(ids(none).await.is_empty());
    let counts = queue.counts().await.expect("a read");
    let counts: HashSet<_> =
        counts.iter().map(|count| (count.queue.as_str(), count.state, count.jobs)).collect();
    assert_eq!(counts, HashSet::from([("tests", State::Available, 5), ("elsewhere", State::Available, 1)]));
}

#[tokio::test]
async fn a_unique_job_is_there_once_until_its_time_is_over() {
    let place = Place::new().await;
    let clock = claude_jobs::clock::Clock::manual(jiff::Timestamp::now());
    let queue = place.queue.clone().with_clock(clock.clone());
    let first = Once::new("x").insert(&queue).await.expect("valid");
    let second = Once::new("x").insert(&queue).await.expect("valid");
    assert!(second.duplicate && second.id() == first.id());
    assert!(!Once::new("y").insert(&queue).await.expect("valid").duplicate, "other args");
    assert!(!Once::new("x").queue("other").insert(&queue).await.expect("valid").duplicate, "another queue");

    clock.advance(Duration::from_secs(60) - Duration::from_micros(1));
    assert!(Once::new("x").insert(&queue).await.expect("valid").duplicate, "the minute is not over");
    clock.advance(Duration::from_micros(1));
    let third = Once::new("x").insert(&queue).await.expect("valid");
    assert!(!third.duplicate, "the minute is over");
}

#[tokio::test]
async fn a_unique_job_releases_its_key_in_other_states_for_good() {
    let place = Place::new().await;
    let queue = &place.queue;
    let first = Once::new("x").insert(queue).await.expect("valid");
    queue.cancel(first.id()).await.expect("it waits");
    let second = Once::new("x").insert(queue).await.expect("valid");
    assert!(!second.duplicate, "a cancelled job does not count");
    queue.retry(first.id()).await.expect("it is over");
    assert!(Once::new("x").insert(queue).await.expect("valid").duplicate);

    let waiting_only = Unique::forever().states([State::Available, State::Scheduled]);
    let new = || Plain::new("z").unique(waiting_only.clone());
    new().insert(queue).await.expect("valid");
    assert!(new().insert(queue).await.expect("valid").duplicate);
    place.drain(answering("success").0).await;
    assert!(!new().insert(queue).await.expect("valid").duplicate, "a finished job does not count here");
}

#[tokio::test]
async fn uniqueness_by_chosen_fields() {
    let place = Place::new().await;
    let by = [UniqueField::Worker, UniqueField::Key("order".into())];
    let new = |order: &str, model: &str| {
        Obedient::new(order.to_owned()).model(model).unique(Unique::forever()).unique_by(by.clone())
    };
    assert!(!new("a", "sonnet").insert(&place.queue).await.expect("valid").duplicate);
    assert!(new("a", "opus").insert(&place.queue).await.expect("valid").duplicate);
    assert!(!new("b", "opus").insert(&place.queue).await.expect("valid").duplicate);
}

#[tokio::test]
async fn unique_states_must_hold_the_waiting_ones() {
    let place = Place::new().await;
    let error =
        Plain::new("x").unique_states([State::Completed]).insert(&place.queue).await.expect_err("refused");
    assert!(error.to_string().contains("unique_states"), "{error}");
}

/// Two processes, a thousand inserts each, one row.
#[tokio::test]
async fn two_processes_insert_one_unique_job() {
    let place = Place::new().await;
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_insert_unique"))
            .args([place.url().as_str(), "1000"])
            .spawn()
            .expect("the binary is built")
    };
    let mut processes = [start(), start()];
    for process in &mut processes {
        assert!(process.wait().expect("it is ours").success());
    }
    let jobs = place.queue.list(&Filter::default()).await.expect("a read");
    assert_eq!(jobs.len(), 1);
}

#[tokio::test]
async fn insert_in_lives_and_dies_with_the_users_transaction() {
    let place = Place::new().await;
    let mut connection = place.connection().await;
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)").await.expect("the user's table");

    let mut transaction = connection.begin().await.expect("a transaction");
    transaction.execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    Plain::new("x").insert_in(&place.queue, &mut transaction).await.expect("valid");
    transaction.rollback().await.expect("a rollback");
    assert!(place.queue.list(&Filter::default()).await.expect("a read").is_empty());

    let mut transaction = connection.begin().await.expect("a transaction");
    transaction.execute("INSERT INTO orders DEFAULT VALUES").await.expect("a row");
    let inserted = Plain::new("x").insert_in(&place.queue, &mut transaction).await.expect("valid");
    assert!(place.queue.get(inserted.id()).await.expect("a read").is_none(), "not before the commit");
    transaction.commit().await.expect("a commit");
    assert!(place.queue.get(inserted.id()).await.expect("a read").is_some());
}

/// A deferred transaction that has read cannot write once somebody else has written.
#[tokio::test]
async fn insert_in_after_a_read_says_how_the_transaction_must_begin() {
    let place = Place::new().await;
    let mut connection = place.connection().await;
    let read = "SELECT count(*) FROM claude_jobs";
    let mut transaction = connection.begin().await.expect("a transaction");
    transaction.execute(read).await.expect("a read");
    Plain::new("others").insert(&place.queue).await.expect("valid");
    let error = Plain::new("x").insert_in(&place.queue, &mut transaction).await.expect_err("it never can");
    let error = error.to_string();
    assert!(
        error.contains("SQLITE_BUSY_SNAPSHOT") && error.contains("anew with `BEGIN IMMEDIATE`"),
        "{error}"
    );
    assert!(!error.contains("30 s"), "{error}");
    transaction.rollback().await.expect("a rollback");

    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.expect("a transaction");
    transaction.execute(read).await.expect("a read");
    let queue = place.queue.clone();
    let others = tokio::spawn(async move { Plain::new("others").insert(&queue).await });
    Plain::new("x").insert_in(&place.queue, &mut transaction).await.expect("it has the lock");
    transaction.commit().await.expect("a commit");
    others.await.expect("no panic").expect("it waits for the lock");
    assert_eq!(place.queue.list(&Filter::default()).await.expect("a read").len(), 3);
}

/// SQLite does not wait for the lock in a transaction that has read.
#[tokio::test]
async fn insert_in_while_another_connection_writes_waits_where_it_can() {
    let place = Place::new().await;
    let (mut writing, mut connection) = (place.connection().await, place.connection().await);
    writing.execute("BEGIN IMMEDIATE; DELETE FROM claude_jobs").await.expect("a write");

    let mut transaction = connection.begin().await.expect("a transaction");
    transaction.execute("SELECT count(*) FROM claude_jobs").await.expect("a read");
    let error = Plain::new("x").insert_in(&place.queue, &mut transaction).await.expect_err("it is locked");
    let error = error.to_string();
    assert!(error.contains("(SQLITE_BUSY)") && error.contains("`BEGIN IMMEDIATE`"), "{error}");
    assert!(!error.contains("30 s"), "{error}");
    transaction.rollback().await.expect("a rollback");

    let mut transaction = connection.begin().await.expect("a transaction");
    let inserting = async {
        Plain::new("x").insert_in(&place.queue, &mut transaction).await.expect("it waits for the lock");
        transaction.commit().await.expect("a commit");
    };
    let committing = async {
        // Long enough to fail in, if it did not wait.
        tokio::time::sleep(Duration::from_millis(200)).await;
        writing.execute("COMMIT").await.expect("a commit");
    };
    tokio::join!(inserting, committing);
    assert_eq!(place.queue.list(&Filter::default()).await.expect("a read").len(), 1);
}

#[tokio::test]
async fn insert_in_refuses_another_database() {
    let (place, other) = (Place::new().await, Place::new().await);
    let empty = place.folder.path().join("empty.db");
    std::fs::write(&empty, "").expect("a file");
    let empty =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}", empty.display())).await.expect("a file");
    for mut connection in [other.connection().await, empty] {
        let error = Plain::new("x").insert_in(&place.queue, &mut connection).await.expect_err("not ours");
        assert!(matches!(error, Error::OtherDatabase), "{error}");
    }
    assert!(other.queue.list(&Filter::default()).await.expect("a read").is_empty());
}

/// Nothing but its pinned options has its prompt.
#[claude_jobs::claude_worker(queue = "tests", pinned_args = { prompt = "always the same" })]
struct Fixed;

#[tokio::test]
async fn pinned_options_count_when_a_job_is_checked() {
    let place = Place::new().await;
    place.queue.insert(NewJob::new("Fixed", json!({}))).await.expect("its prompt is pinned");
}

#[tokio::test]
async fn sessions_of_two_databases_are_never_the_same() {
    let mut sessions = HashSet::new();
    for _ in 0..2 {
        let place = Place::new().await;
        let job =
            Plain::new("x").timeout(Duration::from_millis(1)).insert(&place.queue).await.expect("valid");
        place.drain(until_stopped).await;
        let runs = place.queue.details(job.id()).await.expect("there").runs;
        sessions.insert(runs[0].session_id.clone().expect("pinned before the start"));
    }
    assert_eq!(sessions.len(), 2, "{sessions:?}");
}

#[tokio::test]
async fn operators_can_cancel_retry_and_delete() {
    let place = Place::new().await;
    let queue = &place.queue;
    let job = Plain::new("x").schedule_in(Duration::from_secs(3_600)).insert(queue).await.expect("valid");
    assert_eq!(place.job(&job).await.state, State::Scheduled);
    assert_eq!(queue.cancel(job.id()).await.expect("it waits"), Cancelled::Now);
    assert!(matches!(queue.cancel(job.id()).await, Err(Error::WrongState { .. })));
    let retried = queue.retry(job.id()).await.expect("it is over");
    assert_eq!((retried.state, retried.reason), (State::Available, None));
    assert!(matches!(queue.retry(job.id()).await, Err(Error::WrongState { .. })));
    place.drain(answering("success").0).await;
    assert_eq!(place.job(&job).await.state, State::Completed);
    queue.delete(job.id()).await.expect("it is over");
    assert!(matches!(queue.details(job.id()).await, Err(Error::NoSuchJob(_))));
    let left: i64 = sqlx::query("SELECT count(*) AS n FROM claude_jobs_runs")
        .fetch_one(&mut place.connection().await)
        .await
        .expect("a read")
        .get("n");
    assert_eq!(left, 0, "its ledger is gone too");
}

#[tokio::test]
async fn a_retry_by_hand_gives_an_attempt() {
    let place = Place::new().await;
    let job = Obedient::new("retry".into()).max_attempts(1).insert(&place.queue).await.expect("valid");
    place.drain(answering("success").0).await;
    assert_eq!(place.job(&job).await.state, State::Discarded);
    let retried = place.queue.retry(job.id()).await.expect("it is over");
    assert_eq!((retried.attempts_left(), retried.attempt), (1, 1));
    place.drain(answering("success").0).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.runs.len(), details.errors.len()), (2, 2));
    place.queue.delete(job.id()).await.expect("it is over");
    let errors: i64 = sqlx::query_scalar("SELECT count(*) FROM claude_jobs_errors")
        .fetch_one(&mut place.connection().await)
        .await
        .expect("a read");
    assert_eq!(errors, 0, "its errors are gone with it");
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_says_why() {
    let place = Place::new().await;
    let folder = place.folder.path();
    std::fs::write(folder.join("text.db"), "this is no database, it is only text".repeat(100))
        .expect("a file");
    let cases = [
        (format!("sqlite://{}/missing/jobs.db", folder.display()), "does not exist; create it first"),
        (format!("sqlite://{}", folder.display()), "is a folder"),
        (format!("sqlite://{}/text.db", folder.display()), "not a database"),
        ("jobs.db".to_owned(), "write `sqlite://path/to/jobs.db`"),
        ("mysql://user:secret@host/db".to_owned(), "write `sqlite://path/to/jobs.db`"),
    ];
    for (url, expected) in cases {
        let error = Queue::connect(&url).await.expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected} not in {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let mut connection = place.connection().await;
    connection.execute("INSERT INTO claude_jobs_migrations VALUES (999)").await.expect("a row");
    let error = Queue::connect(&place.url()).await.expect_err("newer").to_string();
    assert!(error.contains("schema version 999") && error.contains("upgrade claude-jobs"), "{error}");
}

#[tokio::test]
async fn an_in_memory_queue_works_alone() {
    let queue = Queue::connect("sqlite::memory:").await.expect("memory");
    let job = Plain::new("x").insert(&queue).await.expect("valid");
    let other = Queue::connect("sqlite::memory:").await.expect("memory");
    assert!(other.get(job.id()).await.expect("a read").is_none(), "each its own");
    let (claude, runs) = answering("success");
    Runtime::builder(queue.clone()).queue("tests", 2).claude(claude).drain().await.expect("it drains");
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(queue.get(job.id()).await.expect("a read").expect("there").state, State::Completed);
}

#[test]
fn typed_setters_write_what_rows_hold() {
    let args = ArgMap::new().permission_mode("bypass_permissions").timeout("15m").worktree(true);
    let json = serde_json::to_value(&args).expect("JSON");
    assert_eq!(json, json!({"permission_mode": "bypass_permissions", "timeout": "15m", "worktree": true}));
}
