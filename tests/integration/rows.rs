//! Rows as they may be found: old, written by hand, damaged, of an unknown worker, left by a dead
//! node; and machines on which claude cannot start.

use std::sync::atomic::Ordering;

use claude_jobs::claude::ClaudeCli;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use sqlx::Executor;

use crate::workers::{Place, Plain, answering};

/// Rows that are old, written by hand, or damaged.
#[tokio::test]
async fn rows_that_cannot_run_are_cancelled_at_once_and_say_why() {
    let place = Place::new().await;
    let table = [
        (
            "Plain",
            "{}",
            r#"{"prompt": "x", "modle": "hunter2"}"#,
            "unknown option `modle`: did you mean `model`?",
        ),
        ("Plain", "{}", r#"{"prompt": "x", "max_turns": "hunter2"}"#, "`max_turns` takes a whole number"),
        ("Plain", "{}", "{}", "`prompt` is missing"),
        ("Plain", "{}", "hunter2{", "column `args` is not a JSON object"),
        ("Plain", "hunter2{", r#"{"prompt": "x"}"#, "column `input` is not JSON"),
        ("Obedient", "{}", "{}", "missing field `order`"),
        ("Obedient", r#"{"order": 7}"#, "{}", "a field has the wrong type (the fields are `order`)"),
        ("Obedient", "[]", "{}", "the input is not a JSON object"),
    ];
    let mut connection = place.connection().await;
    for (worker, input, args, _) in table {
        sqlx::query("INSERT INTO claude_jobs (queue, worker, input, args) VALUES ('tests', ?, ?, ?)")
            .bind(worker)
            .bind(input)
            .bind(args)
            .execute(&mut connection)
            .await
            .expect("a row by hand");
    }
    connection
        .execute(
            "INSERT INTO claude_jobs (queue, worker, args, max_attempts) VALUES ('tests', 'Plain', '{}', -3)",
        )
        .await
        .expect("a row by hand");
    let good = Plain::new("x").insert(&place.queue).await.expect("valid");
    let (claude, runs) = answering("success");
    place.drain(claude).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1, "only the good one");
    assert_eq!(place.job(&good).await.state, State::Completed);
    let jobs = place.queue.list(&Filter::default()).await.expect("a read");
    let reasons = table.iter().map(|row| row.3).chain(["column `max_attempts` is not 1 or more"]);
    for (job, expected) in jobs.iter().rev().zip(reasons) {
        let reason = job.reason.as_deref().unwrap_or_default();
        assert_eq!(job.state, State::Cancelled, "{reason}");
        assert!(
            reason.starts_with("invalid_args: ") && reason.contains(expected),
            "{expected} not in {reason}"
        );
        assert!(!reason.contains("hunter2"), "{reason}");
        let details = place.queue.details(job.id).await.expect("there");
        assert_eq!((details.runs[0].outcome.as_str(), details.runs[0].cost_usd), ("invalid_args", Some(0.0)));
    }
}

#[tokio::test]
async fn a_row_of_an_unknown_worker_waits_for_a_node_that_knows_it() {
    let place = Place::new().await;
    place
        .connection()
        .await
        .execute("INSERT INTO claude_jobs (queue, worker) VALUES ('tests', 'FromTheFuture')")
        .await
        .expect("a row by hand");
    let known = Plain::new("x").insert(&place.queue).await.expect("valid");
    place.drain(answering("success").0).await;
    assert_eq!(place.job(&known).await.state, State::Completed);
    let jobs = place.queue.list(&Filter::default()).await.expect("a read");
    assert_eq!(jobs.iter().filter(|job| job.state == State::Available).count(), 1);
}

#[tokio::test]
async fn the_jobs_of_a_dead_node_are_taken_back_at_once() {
    let place = Place::new().await;
    let retried = Plain::new("x").insert(&place.queue).await.expect("valid");
    let last = Plain::new("y").max_attempts(1).insert(&place.queue).await.expect("valid");
    let cancelled = Plain::new("z").insert(&place.queue).await.expect("valid");
    let mut connection = place.connection().await;
    connection
        .execute("UPDATE claude_jobs SET state = 'executing', attempt = 1, attempted_at = inserted_at, node = 'dead'")
        .await
        .expect("claimed by a node that is no more");
    sqlx::query("UPDATE claude_jobs SET cancel_requested = 1 WHERE id = ?")
        .bind(cancelled.id().0)
        .execute(&mut connection)
        .await
        .expect("somebody wants it cancelled");
    place.drain(answering("success").0).await;
    let retried = place.queue.details(retried.id()).await.expect("there");
    assert_eq!((retried.job.state, retried.job.attempt), (State::Completed, 2));
    let lost = &retried.runs[0];
    assert_eq!((lost.outcome.as_str(), lost.cost_usd), ("lost", None), "unknown, not zero");
    assert!(lost.session_id.is_some());
    let last = place.job(&last).await;
    assert_eq!((last.state, last.attempts_left()), (State::Completed, 0), "it was continued, uncounted");
    assert_eq!(place.job(&cancelled).await.state, State::Cancelled);
}

#[tokio::test]
async fn a_missing_binary_or_folder_is_told_apart() {
    let place = Place::new().await;
    let folder = place.folder.path();
    std::fs::write(folder.join("plain"), "text").expect("a file");
    let table = [
        (Plain::new("x").binary("/nowhere/claude"), "binary_missing: `/nowhere/claude` does not exist"),
        (Plain::new("x").binary("no-such-claude"), "binary_missing: `no-such-claude` is not on PATH"),
        (Plain::new("x").binary(folder.join("plain")), "binary_not_runnable: "),
        (Plain::new("x").binary(folder), "binary_not_runnable: "),
        (
            Plain::new("x").binary("/bin/true").working_dir("/nowhere"),
            "working_dir_missing: working_dir `/nowhere` does not exist",
        ),
        (Plain::new("x").binary("/bin/true").working_dir(folder.join("plain")), "working_dir_missing: "),
    ];
    for (job, expected) in table {
        let job = job.insert(&place.queue).await.expect("valid");
        place.drain(ClaudeCli::default()).await;
        let details = place.queue.details(job.id()).await.expect("there");
        let reason = details.job.reason.as_deref().unwrap_or_default();
        assert!(reason.starts_with(expected), "{expected}: {reason}");
        assert_eq!((details.job.state, details.runs[0].cost_usd), (State::Cancelled, Some(0.0)));
    }
}

/// SQLite takes any bytes for text. One such row must neither stop the queue nor hide the others.
#[tokio::test]
async fn text_that_is_no_text_stops_neither_claims_nor_lists() {
    for column in ["queue", "worker", "input", "args", "meta", "tags", "reason", "node"] {
        let place = Place::new().await;
        let bad = Plain::new("x").insert(&place.queue).await.expect("valid");
        let good = Plain::new("y").insert(&place.queue).await.expect("valid");
        let sql =
            format!("UPDATE claude_jobs SET {column} = CAST(x'7bff7d' AS TEXT) WHERE id = {}", bad.id());
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut place.connection().await).await.expect("no check");
        place.drain(answering("success").0).await;
        assert_eq!(place.job(&good).await.state, State::Completed, "{column}");
        let jobs = place.queue.list(&Filter::default()).await.expect("a list");
        assert_eq!(jobs.len(), 2, "{column}");
        place.queue.details(bad.id()).await.expect("it can be looked at");
        place.queue.counts().await.expect("they can be counted");
    }
}

/// The fencing token cannot be written so that no settlement would ever match it.
#[tokio::test]
async fn numbers_that_no_run_could_be_settled_by_cannot_be_written() {
    let place = Place::new().await;
    let mut connection = place.connection().await;
    for column in ["attempt", "uncounted", "snoozes"] {
        for value in ["-1", "4294967296", "9223372036854775807"] {
            let sql = format!(
                "INSERT INTO claude_jobs (queue, worker, {column}) VALUES ('tests', 'Plain', {value})"
            );
            let error = connection.execute(sqlx::AssertSqlSafe(sql)).await.expect_err(column).to_string();
            assert!(error.contains(column), "{error}");
        }
    }
}

#[tokio::test]
async fn numbers_at_their_bounds_are_run_and_settled() {
    let extremes = [i64::MIN, -1, i64::MAX];
    for value in extremes {
        for column in
            ["priority", "max_attempts", "max_snoozes", "inserted_at", "scheduled_at", "unique_states"]
        {
            let place = Place::new().await;
            let sql = format!(
                "INSERT INTO claude_jobs (queue, worker, args, {column}) \
                 VALUES ('tests', 'Plain', '{{\"prompt\": \"x\"}}', {value})"
            );
            place.connection().await.execute(sqlx::AssertSqlSafe(sql)).await.expect("a row by hand");
            place.drain(answering("success").0).await;
            let jobs = place.queue.list(&Filter::default()).await.expect("a list");
            assert!(jobs[0].state.is_final(), "{column} = {value}: {:?}", jobs[0]);
        }
    }
    let place = Place::new().await;
    let sql = "INSERT INTO claude_jobs (queue, worker, args, attempt, uncounted, snoozes) \
               VALUES ('tests', 'Plain', '{\"prompt\": \"x\"}', 4294967295, 4294967295, 4294967295)";
    place.connection().await.execute(sql).await.expect("a row by hand");
    place.drain(answering("overloaded").0).await;
    let jobs = place.queue.list(&Filter::default()).await.expect("a list");
    assert_eq!(jobs[0].state, State::Retryable);
}

/// Whatever outlived both the node and its supervisor is ended before the job can be claimed again; what
/// only looks like it is left alone.
#[tokio::test]
async fn what_a_dead_run_left_behind_is_ended_before_its_job_is_claimed() {
    let place = Place::new().await;
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    let mut connection = place.connection().await;
    connection
        .execute("UPDATE claude_jobs SET state = 'executing', attempt = 1, attempted_at = inserted_at, node = 'dead'")
        .await
        .expect("claimed by a node that is no more");
    let database: String = sqlx::query_scalar("SELECT value FROM claude_jobs_meta WHERE key = 'database_id'")
        .fetch_one(&mut connection)
        .await
        .expect("each database has its id");
    let start = |database: &str| {
        let mut command = std::process::Command::new("sleep");
        let run = format!("{}.1", job.id());
        command.arg("600").env("CLAUDE_JOBS_RUN", run).env("CLAUDE_JOBS_DATABASE_ID", database);
        command.spawn().expect("sleep exists")
    };
    let (mut left, mut other) = (start(&database), start("another"));
    place.drain(answering("success").0).await;
    assert_eq!(place.job(&job).await.state, State::Completed);
    let ended = left.try_wait().expect("it is ours").is_some();
    let untouched = other.try_wait().expect("it is ours").is_none();
    for process in [&mut left, &mut other] {
        let _ = process.kill();
        process.wait().expect("it is ours");
    }
    assert!(ended, "it lived on beside the second run");
    assert!(untouched, "another database's run was ended");
}
