//! A copy of a database, worked on beside the original on the same machine: its runtime leaves the original's runs and
//! sessions alone.

use std::process::Command;
use std::time::Duration;

use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Step, Take};
use sqlx::{Connection, Executor};

use crate::base::Base;
use crate::workers::Plain;

const SESSION: &str = "0199f1de-0000-7000-8000-00000000abcd";

const SOON: Duration = Duration::from_secs(30);

/// What tells a database from every other.
async fn id(url: &str) -> String {
    Queue::connect(url).await.expect("it opens").engine().database_id().to_string()
}

async fn a_copy_leaves_runs_and_sessions_of_the_original_alone(original: Base) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let release = folder.path().join("go on");
    let mut take = Take::success("the original's");
    take.steps.insert(0, Step::AwaitFile(release.clone()));
    let fake = FakeClaude::new([take]);
    let queue = Queue::connect(&original.url()).await.expect("a new database");
    let runs = Plain::new("runs").insert(&queue).await.expect("valid").id();
    let node = Runtime::builder(queue.clone())
        .queue("tests", 1)
        .claude(ClaudeCli::builder().binary(fake.path().to_str().expect("UTF-8")).build());
    let node = tokio::spawn(node.drain());
    fake.wait_for_records(1, SOON).await;
    let waits =
        Plain::new("waits").schedule_in(Duration::from_secs(3_600)).insert(&queue).await.expect("valid").id();
    original
        .execute(&format!(
            "UPDATE {{jobs}} SET continuation = '{{\"session\":{{\"id\":\"{SESSION}\"}}}}' WHERE id = {waits}"
        ))
        .await;

    let copy = original.copy().await;
    // As after a lease.
    copy.execute("DELETE FROM {nodes}").await;
    copy.execute(&format!(
        "UPDATE {{jobs}} SET state = 'available', scheduled_at = inserted_at WHERE id = {waits}"
    ))
    .await;
    let looked = Command::new(env!("CARGO_BIN_EXE_jobs"))
        .args(["jobs", "list", "--database", &copy.url()])
        .output()
        .expect("it runs");
    assert!(looked.status.success(), "{looked:?}");
    let first = queue.engine().database_id().to_string();
    assert_eq!(id(&original.url()).await, first, "the original stays what it is");
    let copied = Queue::connect(&copy.url()).await.expect("a copy");
    let second = copied.engine().database_id().to_string();
    assert_ne!(second, first);
    assert_eq!(id(&copy.url()).await, second, "once");

    let answers = FakeClaude::new([Take::success("the copy's")]);
    let claude = ClaudeCli::builder().binary(answers.path().to_str().expect("UTF-8")).build();
    Runtime::builder(copied.clone()).queue("tests", 1).claude(claude).drain().await.expect("it drains");
    let records = answers.records();
    assert_eq!(records.len(), 1, "what runs in the original is not run here");
    assert_eq!(records[0].flag("--resume"), Some(SESSION));
    assert!(records[0].argv.iter().any(|word| word == "--fork-session"), "{:?}", records[0].argv);
    let job = copied.get(waits).await.expect("a read").expect("there");
    assert_eq!(job.state, State::Completed);
    let job = copied.get(runs).await.expect("a read").expect("there");
    let reason = job.reason.unwrap_or_default();
    assert!(job.state == State::Cancelled && reason.starts_with("copied: it ran when this copy"), "{reason}");

    std::fs::write(&release, "").expect("a file");
    node.await.expect("no panic").expect("it drains");
    let details = queue.details(runs).await.expect("there");
    assert_eq!(details.runs.len(), 1, "{:?}", details.runs);
    assert_eq!(details.runs[0].result.as_deref(), Some("the original's"));
}

#[tokio::test]
async fn a_copy_of_a_file_leaves_the_original_alone() {
    a_copy_leaves_runs_and_sessions_of_the_original_alone(Base::sqlite()).await;
}

#[tokio::test]
async fn a_copy_of_a_server_database_leaves_the_original_alone() {
    a_copy_leaves_runs_and_sessions_of_the_original_alone(Base::postgres()).await;
}

/// The file is the same when it is moved, and another when a copy takes its place: both may be used then.
#[tokio::test]
async fn what_is_moved_is_no_copy_and_what_takes_its_place_is_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let id = async |name: &str| {
        let url = format!("sqlite://{}", at(name).display());
        let id = id(&url).await;
        // All of it into the file, which is moved and copied without those beside it.
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("it is there");
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("nobody reads");
        id
    };
    let first = id("a.db").await;
    std::fs::rename(at("a.db"), at("b.db")).expect("moved");
    assert_eq!(id("b.db").await, first);
    std::fs::rename(at("b.db"), at("old.db")).expect("moved");
    std::fs::copy(at("old.db"), at("b.db")).expect("a copy");
    let second = id("b.db").await;
    assert_ne!(second, first);
    assert_eq!((id("old.db").await, id("b.db").await), (first, second), "for good");
}
