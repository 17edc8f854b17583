//! Nodes over one database, and a storm over them.

use std::time::Duration;

use claude_jobs_tests::chaos::dice::Dice;
use claude_jobs_tests::chaos::node::Node;
use claude_jobs_tests::chaos::proxy::Proxy;
use claude_jobs_tests::chaos::storm::{Storm, Target};

use super::site::Site;
use super::{Ground, LEASE, all_final, insert, length, verdict};

/// Two processes on one SQLite file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_sqlite_file() {
    storm(Site::sqlite(), 2, 400, Duration::from_secs(30)).await;
}

/// Four nodes on PostgreSQL, each on a wire of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    storm(Site::postgres(), 4, 2_000, Duration::from_secs(120)).await;
}

async fn storm(site: Site, nodes: usize, jobs: usize, lasts: Duration) {
    let seed = Dice::seed();
    println!("CLAUDE_JOBS_CHAOS_SEED={seed}");
    let lasts = length(lasts);
    let ground = Ground::new();
    let queue = site.queue().await;
    insert(&queue, &mut Dice::new(seed), jobs, lasts).await;

    let mut targets = Vec::new();
    for number in 0..nodes {
        let (url, proxy) = match &site {
            Site::Sqlite(_) => (site.url(), None),
            Site::Postgres(database) => {
                let proxy = Proxy::to(database.socket()).await;
                (database.url_by_port(proxy.port()), Some(proxy))
            }
        };
        let log = ground.log(&format!("node{number}"));
        targets.push(Target { node: Node::start(ground.order(url, 4), ground.fleet.name(), log), proxy });
    }
    let storm = Storm { seed, lasts, lease: LEASE, calm: Duration::from_secs(5) };
    let damage = storm.blow(&mut targets).await;
    println!("seed {seed}: {damage}");
    all_final(&queue, Duration::from_secs(150)).await;

    let tally = verdict::judge(&queue, &ground.journal, jobs).await;
    println!("seed {seed}: {}", tally.with_logs(targets.iter().map(|target| &target.node)));
    site.await_nodes(nodes).await;
    verdict::end(targets.iter_mut().map(|target| &mut target.node), &ground.fleet);
    site.await_nodes(0).await;
}
