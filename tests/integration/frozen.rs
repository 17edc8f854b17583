//! Stops a process as SIGSTOP does, but not within a write to its SQLite file: stopped there, it keeps the
//! file locked for everybody until it wakes, and a test would see nothing but that.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// Stops this child of ours. `url` is that of the database it works on, of either kind.
pub(crate) async fn freeze(process: Pid, url: &str) {
    for _ in 0..100 {
        kill_process(process, Signal::STOP).expect("it is ours");
        if !url.starts_with("sqlite:") || can_be_written(url).await {
            return;
        }
        kill_process(process, Signal::CONT).expect("it is ours");
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    panic!("{url} is locked whenever we look");
}

async fn can_be_written(url: &str) -> bool {
    let options: SqliteConnectOptions = url.parse().expect("a URL");
    let wait = Duration::from_millis(500);
    let mut connection = options.busy_timeout(wait).connect().await.expect("the database is there");
    match connection.begin_with("BEGIN IMMEDIATE").await {
        Ok(nothing) => nothing.rollback().await.is_ok(),
        Err(_) => false,
    }
}
