//! SQLite: the disk is full, writes fail, the file is read-only, somebody else locks it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_jobs::prelude::*;
use claude_jobs::{Error, JobId};
use claude_jobs_tests::alone;
use claude_jobs_tests::chaos::journal::Event;
use claude_jobs_tests::log::Log;
use claude_jobs_tests::sandbox::wait_until;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sqlx::{Connection, Executor};

use super::{Serving, check};
use crate::chaos::{Chore, Ground, LEASE, all_final, verdict};

const SOON: Duration = Duration::from_secs(20);

/// A disk of 300 MiB, really full: with less than 256 MiB nothing would be claimed to begin with.
#[test]
fn the_disk_is_full() {
    if let Some(folder) = alone::inside() {
        return block_on(nothing_can_be_written(&folder, Disk::full(&folder), "full"));
    }
    if !alone::run_on_a_disk("outage::sqlite::the_disk_is_full", 300) {
        eprintln!("nothing can be mounted here: `every_write_fails` stands in for a full disk");
    }
}

/// No file may be written: what SQLite sees of it is what it sees of a file system that the kernel has
/// made read-only after an error (`SQLITE_IOERR_WRITE`). Needs no privilege.
#[test]
fn every_write_fails() {
    if let Some(folder) = alone::inside() {
        return block_on(nothing_can_be_written(&folder, Disk::limited(), "disk I/O error"));
    }
    alone::run("outage::sqlite::every_write_fails");
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be started").block_on(test);
}

/// How writes are made to fail.
enum Disk {
    /// This file takes up all the space.
    Full(PathBuf),
    /// This was the limit before.
    Limited(Rlimit),
}

impl Disk {
    fn full(folder: &Path) -> Disk {
        Disk::Full(folder.join("ballast"))
    }

    fn limited() -> Disk {
        // Without a handler the signal would end this process; with one, the write fails.
        let seen = std::sync::Arc::default();
        signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), seen).expect("it can be handled");
        Disk::Limited(getrlimit(Resource::Fsize))
    }

    fn fail(&self) {
        match self {
            Disk::Full(ballast) => {
                let mut file = File::options().create(true).append(true).open(ballast).expect("a new file");
                for size in [1 << 16, 1 << 12, 1] {
                    while file.write_all(&vec![0; size]).is_ok() {}
                }
            }
            Disk::Limited(before) => {
                let none = Rlimit { current: Some(0), ..*before };
                setrlimit(Resource::Fsize, none).expect("less is allowed");
            }
        }
    }

    fn heal(&self) {
        match self {
            Disk::Full(ballast) => std::fs::remove_file(ballast).expect("it is there"),
            Disk::Limited(before) => setrlimit(Resource::Fsize, *before).expect("the hard limit stayed"),
        }
    }
}

/// Runs end while nothing can be written: their results are settled afterwards, by the same runtime.
async fn nothing_can_be_written(folder: &Path, disk: Disk, reason: &str) {
    let log = Log::capture();
    let ground = Ground::new();
    let queue = connect(&folder.join("jobs.db")).await;
    let mut inserted = Vec::new();
    for _ in 0..3 {
        inserted.push(insert(&queue, "1500 false complete").await.expect("there is room"));
    }
    let serving = Serving::start(&queue, &ground, 2);
    let runs = |event| ground.journal.entries().iter().filter(|entry| entry.event == event).count();
    wait_until(SOON, "two runs", || runs(Event::Start) == 2).await;

    disk.fail();
    // There may be room in the log of the database for a few more.
    let error = loop {
        match insert(&queue, "20 false complete").await {
            Ok(id) => inserted.push(id),
            Err(error) => break error,
        }
    };
    let Error::Database(source) = &error else { panic!("{error}") };
    assert!(format!("{error}: {source}").contains(reason), "{error}: {source}");
    wait_until(SOON, "the runs to end", || runs(Event::End) == 2).await;
    wait_until(SOON, "a settlement to fail", || log.tells(&["cannot reach the jobs", reason])).await;
    // Long enough for every loop to notice, not so long that the node gives up its runs.
    tokio::time::sleep(Duration::from_secs(4)).await;
    disk.heal();

    all_final(&queue, SOON).await;
    inserted.push(insert(&queue, "20 false complete").await.expect("there is room again"));
    all_final(&queue, SOON).await;
    let tally = verdict::judge(&queue, &ground.journal, inserted.len()).await;
    assert_eq!(tally.runs, inserted.len(), "nothing paid for is run again: {tally}");
    serving.end().await;
    check(&log, &[&["cannot renew", reason]]);
    println!("{tally}, at most {} lines a second", log.most_per_second());
}

/// The file may only be read when it is opened. Each write says so and what to do; once the file may be
/// written, the same queue writes.
#[test]
fn a_read_only_file_is_told_and_written_when_it_may() {
    if let Some(folder) = alone::inside() {
        return block_on(read_only(&folder));
    }
    alone::run_without_privilege("outage::sqlite::a_read_only_file_is_told_and_written_when_it_may");
}

async fn read_only(folder: &Path) {
    for write in ["insert", "runtime"] {
        // Made by another process: within one, SQLite uses old descriptors of a file again.
        let path = folder.join(format!("{write}.db"));
        let url = format!("sqlite://{}", path.display());
        let made = std::process::Command::new(env!("CARGO_BIN_EXE_insert_unique")).args([&url, "1"]).status();
        assert!(made.expect("it starts").success());

        set_mode(&path, 0o444);
        let queue = connect(&path).await;
        assert_eq!(queue.counts().await.expect("it may be read").len(), 1);
        let refused = attempt(&queue, write).await.expect_err("nothing can be written").to_string();
        assert!(refused.contains("readonly") && refused.contains("writable, then try again"), "{refused}");
        // SQLite gives its other two files the mode of the first.
        for suffix in ["", "-wal", "-shm"] {
            let file = folder.join(format!("{write}.db{suffix}"));
            if file.exists() {
                set_mode(&file, 0o644);
            }
        }
        attempt(&queue, write).await.unwrap_or_else(|error| panic!("{write}: {error}"));
    }
}

async fn attempt(queue: &Queue, write: &str) -> claude_jobs::Result<()> {
    match write {
        "insert" => insert(queue, "20 false complete").await.map(drop),
        _ => Runtime::builder(queue.clone()).queue("empty", 1).drain().await,
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Somebody else holds the write lock for longer than a lease. Nobody but this node can take its jobs: its runs go on.
#[tokio::test]
async fn the_runs_of_the_only_node_outlive_a_lock_that_is_longer_than_a_lease() {
    let (log, ground) = (Log::capture(), Ground::new());
    let path = ground.folder.path().join("jobs.db");
    let queue = connect(&path).await;
    let job = insert(&queue, "18000 true complete").await.expect("it is not locked");
    let serving = Serving::start(&queue, &ground, 4);
    wait_until(SOON, "the run", || !ground.journal.entries().is_empty()).await;
    let mut other = locked(&path).await;
    tokio::time::sleep(LEASE + Duration::from_secs(4)).await;
    other.execute("ROLLBACK").await.expect("it is ours");
    all_final(&queue, SOON).await;
    let details = queue.details(job).await.expect("it is there");
    assert_eq!((details.job.state, details.runs.len()), (State::Completed, 1), "{:?}", details.runs);
    serving.end().await;
    check(&log, &[&["cannot renew"]]);
}

/// The same while another node is there that might take its jobs: the node ends its runs; once the lock is free,
/// everything goes on.
#[tokio::test]
async fn the_file_is_locked_for_longer_than_a_lease() {
    let (log, ground) = (Log::capture(), Ground::new());
    let path = ground.folder.path().join("jobs.db");
    let queue = connect(&path).await;
    insert(&queue, "3000 true complete").await.expect("it is not locked");
    let endless = insert(&queue, "60000 true complete").await.expect("it is not locked");
    let serving = Serving::start(&queue, &ground, 4);
    let neighbour = Runtime::builder(queue.clone()).queue("elsewhere", 1).lease(LEASE);
    let neighbour = tokio::spawn(neighbour.run_until(std::future::pending()));
    wait_until(SOON, "the runs", || ground.journal.entries().len() == 2).await;

    let mut other = locked(&path).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { insert(&queue, "20 false complete").await }
    });
    tokio::time::sleep(LEASE + Duration::from_secs(3)).await;
    assert!(!waiting.is_finished(), "it was written in spite of the lock");
    let left = claude_jobs_tests::sandbox::processes_with_env(&format!("CLAUDE_JOBS_RUN={endless}.1"));
    assert!(left.is_empty(), "a run outlives its lease: {left:?}");
    other.execute("ROLLBACK").await.expect("it is ours");
    waiting.await.expect("no panic").expect("it waited for the lock");

    // The second attempt of the endless job.
    wait_until(SOON, "it to run again", || {
        ground.journal.entries().iter().any(|entry| (entry.job, entry.attempt) == (endless.0, 2))
    })
    .await;
    let first = queue.details(endless).await.expect("it is there").runs.remove(0);
    assert!(first.ending.contains("lease"), "{first:?}");
    queue.cancel(endless).await.expect("it runs");
    all_final(&queue, SOON).await;
    serving.end().await;
    neighbour.abort();
    let overlaps = ground.journal.entries().iter().filter(|entry| entry.event == Event::Overlap).count();
    assert_eq!(overlaps, 0);
    check(&log, &[&["cannot renew", "no answer in time"]]);
}

async fn locked(path: &Path) -> sqlx::SqliteConnection {
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the database is there");
    connection.execute("BEGIN EXCLUSIVE").await.expect("nobody else writes just now");
    connection
}

async fn connect(path: &Path) -> Queue {
    Queue::connect(&format!("sqlite://{}", path.display())).await.expect("a database")
}

async fn insert(queue: &Queue, order: &str) -> claude_jobs::Result<JobId> {
    Ok(Chore::new(order).insert(queue).await?.id())
}
