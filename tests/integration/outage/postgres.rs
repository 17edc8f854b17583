//! PostgreSQL: the server is restarted, connections are ended, answers are lost, under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::journal::Event;
use claude_jobs_tests::chaos::proxy::{Proxy, Trap};
use claude_jobs_tests::log::Log;
use claude_jobs_tests::postgres::{Database, Stop, private_database};
use claude_jobs_tests::sandbox::wait_until;
use tokio::task::JoinSet;

use super::{Serving, check};
use crate::chaos::{Chore, Ground, LEASE, all_final, verdict};

const SOON: Duration = Duration::from_secs(30);

/// Tasks that insert until they are told to stop, each job once, under a number of its own.
struct Load {
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<Vec<(u32, bool)>>,
}

impl Load {
    fn start(queue: &Queue, tasks: usize) -> Load {
        let (is_over, numbers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut load = Load { is_over: Arc::clone(&is_over), tasks: JoinSet::new() };
        for _ in 0..tasks {
            let (queue, is_over, numbers) = (queue.clone(), Arc::clone(&is_over), Arc::clone(&numbers));
            load.tasks.spawn(async move {
                let mut told = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let number = numbers.fetch_add(1, Ordering::SeqCst);
                    let job = Chore::new(format!("30 false complete {number}"));
                    let inserted = tokio::time::timeout(SOON, job.insert(&queue)).await;
                    let inserted = inserted.expect("an insert does not hang");
                    told.push((number, inserted.is_ok()));
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
                told
            });
        }
        load
    }

    /// Stops, and checks that what was told is true: what returned is there once, what failed at most once.
    /// Answers with how many jobs there are.
    async fn check(self, queue: &Queue) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        let told: Vec<_> = self.tasks.join_all().await.into_iter().flatten().collect();
        let there = numbers(queue).await;
        for (number, is_ok) in &told {
            let count = there.get(number).copied().unwrap_or_default();
            assert!(count <= 1, "job {number} is there {count} times");
            assert!(count == 1 || !is_ok, "job {number} was inserted and is not there");
        }
        let good = told.iter().filter(|(_, is_ok)| *is_ok).count();
        assert!(good > 20, "hardly anything was inserted: {good} of {}", told.len());
        println!("{} inserts, {good} good, {} jobs", told.len(), there.len());
        there.len()
    }
}

/// How often each number is there.
async fn numbers(queue: &Queue) -> BTreeMap<u32, usize> {
    let mut there = BTreeMap::new();
    let mut filter = Filter::default();
    filter.limit = 500;
    loop {
        let page = queue.list(&filter).await.expect("the database is there");
        let Some(last) = page.last() else { return there };
        filter.before = Some(last.id);
        for job in &page {
            let args = serde_json::to_value(&job.args).expect("plain data");
            let prompt = args["prompt"].as_str().expect("each has one");
            if let Some(number) = prompt.split(' ').nth(3) {
                *there.entry(number.parse().expect("a number")).or_default() += 1;
            }
        }
    }
}

/// Restarted in order and as in a crash, then away for longer than a lease: the node gives up its runs and
/// takes them up again.
#[tokio::test]
async fn the_server_is_restarted_under_load() {
    let log = Log::capture();
    let (ground, database) = (Ground::new(), Arc::new(private_database()));
    let queue = Queue::connect(&database.url()).await.expect("a new database");
    let serving = Serving::start(&queue, &ground, 4);
    let load = Load::start(&queue, 3);
    let runs = || ground.journal.entries().len();
    wait_until(SOON, "runs", || runs() > 10).await;
    for (stop, away) in [
        (Stop::Fast, Duration::ZERO),
        (Stop::Immediate, Duration::ZERO),
        (Stop::Fast, Duration::from_secs(3)),
        (Stop::Immediate, LEASE + Duration::from_secs(3)),
    ] {
        let done = runs();
        stop_and_start(&database, stop, away).await;
        wait_until(SOON, "runs after a restart", || runs() > done + 10).await;
    }
    let long = Chore::new("2000 true complete").insert(&queue).await.expect("it is back").id();
    wait_until(SOON, "the long run", || ground.journal.entries().iter().any(|entry| entry.job == long.0))
        .await;
    stop_and_start(&database, Stop::Fast, Duration::from_secs(3)).await;

    let jobs = load.check(&queue).await + 1;
    all_final(&queue, SOON).await;
    let tally = verdict::judge(&queue, &ground.journal, jobs).await;
    println!("{tally}, at most {} lines a second", log.most_per_second());
    let details = queue.details(long).await.expect("there");
    assert_eq!((details.job.state, details.job.attempt), (State::Completed, 1), "paid for twice");
    serving.end().await;
    check(&log, &[&["cannot reach the jobs"], &["cannot renew this node's lease"]]);
}

async fn stop_and_start(database: &Arc<Database>, stop: Stop, away: Duration) {
    blocking(database, move |database| database.stop(stop)).await;
    tokio::time::sleep(away).await;
    blocking(database, |database| database.start()).await;
}

/// The server becomes a standby of the one that the address leads to a little later: nobody ends the connections that were
/// opened to it meanwhile.
#[tokio::test]
async fn the_address_leads_to_another_server_after_a_failover() {
    let log = Log::capture();
    let (ground, old) = (Ground::new(), Arc::new(private_database()));
    let direct = Queue::connect(&old.url()).await.expect("a new database");
    let new = Arc::new(blocking(&old, |old| old.standby()).await);
    let proxy = Proxy::to(old.socket()).await;
    let queue = Queue::connect(&old.url_by_port(proxy.port())).await.expect("it is there");
    let serving = Serving::start(&queue, &ground, 2);
    Chore::new("20 false complete").insert(&direct).await.expect("it writes");
    let runs = || ground.journal.entries().iter().filter(|entry| entry.event == Event::End).count();
    wait_until(SOON, "a run", || runs() == 1).await;

    blocking(&old, |old| old.demote()).await;
    wait_until(SOON, "a refusal", || log.tells(&["read-only transaction"])).await;
    blocking(&new, |new| new.promote()).await;
    proxy.lead_to(new.socket());
    let inserted = tokio::time::timeout(SOON, async {
        while Chore::new("20 false complete").insert(&queue).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    inserted.await.expect("connections are opened to the new server");
    wait_until(SOON, "a run from the new server", || runs() == 2).await;
    let sessions = "SELECT count(*) FROM pg_stat_activity \
                    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    drop(direct);
    wait_until(SOON, "no connection to the old server", || old.psql(sessions) == "0").await;
    serving.end().await;
    check(&log, &[&["cannot reach the jobs"]]);
}

/// This thread is the runtime's, too, and must not wait.
async fn blocking<T: Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&Database) -> T + Send + 'static,
) -> T {
    let database = Arc::clone(database);
    tokio::task::spawn_blocking(move || work(&database)).await.expect("it does not panic")
}

/// Every connection is ended, again and again.
#[tokio::test]
async fn connections_are_ended_under_load() {
    let log = Log::capture();
    let (ground, database) = (Ground::new(), private_database());
    let queue = Queue::connect(&database.url()).await.expect("a new database");
    let serving = Serving::start(&queue, &ground, 4);
    let load = Load::start(&queue, 3);
    let runs = || ground.journal.entries().iter().filter(|entry| entry.event == Event::End).count();
    wait_until(SOON, "runs", || runs() > 5).await;
    let end = tokio::time::Instant::now() + Duration::from_secs(6);
    let mut ended = 0;
    while tokio::time::Instant::now() < end {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        ended += database.psql(sql).parse::<u32>().expect("a number");
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    let done = runs();
    wait_until(SOON, "runs afterwards", || runs() > done + 5).await;
    let jobs = load.check(&queue).await;
    all_final(&queue, SOON).await;
    let tally = verdict::judge(&queue, &ground.journal, jobs).await;
    println!("{ended} connections ended: {tally}, at most {} lines a second", log.most_per_second());
    assert!(ended > 50, "{ended}");
    assert_eq!(tally.runs, jobs, "nothing paid for is run again: {tally}");
    serving.end().await;
    check(&log, &[&["cannot reach the jobs", "terminating connection"]]);
}

/// The answer that brings a claimed job is lost, or one of the next: of its commit, of its settlement.
/// Whatever the database has done, the job is run once and settled, without waiting for a lease.
#[tokio::test]
async fn an_answer_is_lost() {
    let log = Log::capture();
    let (ground, database) = (Ground::new(), private_database());
    let direct = Queue::connect(&database.url()).await.expect("a new database");
    let proxy = Proxy::to(database.socket()).await;
    let queue = Queue::connect(&database.url_by_port(proxy.port())).await.expect("it is there");
    let serving = Serving::start(&queue, &ground, 2);
    let mut jobs = 0;
    for after in 0..6 {
        proxy.set_trap(Trap { bytes: b"complete needle", after });
        let job = Chore::new("100 false complete needle").insert(&direct).await.expect("valid").id();
        jobs += 1;
        // Others keep the connection busy, so that the trap is sprung whatever comes after the claim.
        while !proxy.is_sprung() {
            Chore::new("20 false complete").insert(&direct).await.expect("valid");
            jobs += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(jobs < 300, "no answer after {after} more was ever sent");
        }
        all_final(&direct, LEASE - Duration::from_secs(2)).await;
        let details = direct.details(job).await.expect("there");
        assert_eq!(details.job.state, State::Completed, "after {after}: {:?}", details.job.reason);
    }
    let tally = verdict::judge(&direct, &ground.journal, jobs).await;
    println!("{tally}, at most {} lines a second", log.most_per_second());
    assert_eq!(tally.runs, jobs, "each job runs once: {tally}");
    assert!(log.tells(&["found claimed"]), "no claim's answer was lost: {:#?}", log.lines());
    serving.end().await;
    check(&log, &[&["cannot reach the jobs"]]);
    assert!(!log.tells(&["superseded"]), "{:#?}", log.lines());
}
