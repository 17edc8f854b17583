//! Two processes on one SQLite file.

use std::time::Duration;

use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::dice::Dice;
use claude_jobs_tests::chaos::node::Node;
use claude_jobs_tests::chaos::storm::{Storm, Target};
use sqlx::Connection;

use super::{Ground, LEASE, all_final, insert, length, verdict};

const JOBS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_file() {
    let seed = Dice::seed();
    println!("CLAUDE_JOBS_CHAOS_SEED={seed}");
    let ground = Ground::new();
    let url = format!("sqlite://{}", ground.folder.path().join("jobs.db").display());
    let queue = Queue::connect(&url).await.expect("a new database");
    let lasts = length(Duration::from_secs(30));
    insert(&queue, &mut Dice::new(seed), JOBS, lasts).await;

    let start = |name| Node::start(ground.order(url.clone(), 4), ground.fleet.name(), ground.log(name));
    let mut targets = ["one", "two"].map(|name| Target { node: start(name), proxy: None });
    let storm = Storm { seed, lasts, lease: LEASE, calm: Duration::from_secs(4) };
    let damage = storm.blow(&mut targets).await;
    all_final(&queue, Duration::from_secs(120)).await;

    let tally = verdict::judge(&queue, &ground.journal, JOBS).await;
    let nodes = targets.map(|target| target.node);
    println!("seed {seed}: {damage}; {}", tally.with_logs(&nodes));
    await_nodes(&url, nodes.len()).await;
    verdict::end(nodes, &ground.fleet);
    await_nodes(&url, 0).await;
}

/// Waits until this many nodes are registered: the dead are gone a lease after their death.
pub(super) async fn await_nodes(url: &str, count: usize) {
    let deadline = tokio::time::Instant::now() + LEASE * 2;
    loop {
        let mut connection = sqlx::SqliteConnection::connect(url).await.expect("the database is there");
        let nodes: Vec<String> = sqlx::query_scalar("SELECT id FROM claude_jobs_nodes")
            .fetch_all(&mut connection)
            .await
            .expect("a read");
        if nodes.len() == count {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{nodes:?} instead of {count}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
