//! A node whose clock is ten minutes off, beside a right one. Leases are judged by how long a node has
//! been silent, on the observer's own steady clock: what a clock on a wall says plays no part.

use std::time::Duration;

use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::dice::Dice;
use claude_jobs_tests::chaos::node::{Node, Order};
use rustix::process::Signal;

use super::site::Site;
use super::{Chore, Ground, LEASE, all_final, insert, verdict};
use crate::frozen::freeze;

const TEN_MINUTES: i64 = 600;

#[tokio::test]
async fn ten_minutes_off_on_sqlite() {
    let ahead = beside_a_right_one(Site::sqlite(), TEN_MINUTES);
    tokio::join!(ahead, beside_a_right_one(Site::sqlite(), -TEN_MINUTES));
}

#[tokio::test]
async fn ten_minutes_off_on_postgres() {
    let ahead = beside_a_right_one(Site::postgres(), TEN_MINUTES);
    tokio::join!(ahead, beside_a_right_one(Site::postgres(), -TEN_MINUTES));
}

async fn beside_a_right_one(site: Site, clock_ahead_s: i64) {
    let ground = Ground::new();
    let queue = site.queue().await;
    // As if on two machines: the one that rescues does not find the other's processes.
    let order = |ahead| Order { clock_ahead_s: ahead, hides_runs: true, ..ground.order(site.url(), 4) };
    let start = |ahead, name| Node::start(order(ahead), ground.fleet.name(), ground.log(name));
    let mut nodes = [start(0, "right"), start(clock_ahead_s, "wrong")];
    site.await_nodes(2).await;
    let registered = site.nodes().await;

    // For longer than a lease: neither is taken for dead, not even when it is stopped for a while.
    insert(&queue, &mut Dice::new(7), 120, Duration::ZERO).await;
    for turn in 0..4 {
        let node = &mut nodes[turn % 2];
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        node.signal(Signal::STOP);
        tokio::time::sleep(LEASE / 6).await;
        node.signal(Signal::CONT);
    }
    all_final(&queue, Duration::from_secs(60)).await;
    assert_eq!(site.nodes().await, registered, "one was declared dead");
    let tally = verdict::judge(&queue, &ground.journal, 120).await;
    assert_eq!(tally.outcomes.get("lost"), None, "{tally}");

    // Stopped for longer than a lease, each in turn: the other takes its jobs over, and nothing runs twice.
    let mut jobs = 120;
    for turn in [0, 1] {
        for _ in 0..8 {
            Chore::new("10000 true complete").insert(&queue).await.expect("valid");
        }
        jobs += 8;
        running_on(&queue, 2).await;
        freeze(nodes[turn].process(), &site.url()).await;
        tokio::time::sleep(LEASE + Duration::from_secs(7)).await;
        nodes[turn].signal(Signal::CONT);
        all_final(&queue, Duration::from_secs(60)).await;
    }
    let tally = verdict::judge(&queue, &ground.journal, jobs).await.with_logs(&nodes);
    println!("clock ahead by {clock_ahead_s} s: {tally}");
    assert!(tally.outcomes.get("lost").is_some_and(|lost| *lost <= 8), "{tally}");
    verdict::end(&mut nodes, &ground.fleet);
}

/// Waits until this many nodes have four jobs each.
async fn running_on(queue: &Queue, count: usize) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let mut filter = Filter::default();
        filter.state = Some(State::Executing);
        let running = queue.list(&filter).await.expect("the database is there");
        let nodes: std::collections::BTreeSet<_> = running.iter().map(|job| &job.node).collect();
        if running.len() == count * 4 && nodes.len() == count {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{} run on {nodes:?}", running.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
