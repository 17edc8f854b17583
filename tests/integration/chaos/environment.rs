//! Nodes that lose their executable, their memory and their database, and an account that loses its login, while one
//! handler in five fails: none of it is the job's fault, so none of it costs a job anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_jobs::engine::Filter;
use claude_jobs::outcome::FailureKind;
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::dice::Dice;
use claude_jobs_tests::chaos::journal::Event;
use claude_jobs_tests::chaos::node::{Node, Order};
use claude_jobs_tests::chaos::proxy::{Proxy, Wire};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Answer, Script, Take};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::site::Site;
use super::{Chore, Ground, all_final, length, verdict};

const NODES: usize = 4;
const SLOTS: u32 = 4;
const LOGINS_LOST: usize = 2;

/// A node and what it can lose.
struct Machine {
    node: Node,
    /// A link to the fake.
    binary: PathBuf,
    /// Without memory while it is there.
    out_of_memory: PathBuf,
    wire: Proxy,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_jobs_lose_nothing_to_it() {
    const JOBS: usize = 1_000;
    let seed = Dice::seed();
    println!("CLAUDE_JOBS_CHAOS_SEED={seed}");
    let lasts = length(Duration::from_secs(45));
    let ground = Ground::new();
    let site = Site::postgres();
    let queue = site.queue().await;
    insert(&queue, &mut Dice::new(seed), JOBS, lasts).await;
    let mut machines = Vec::new();
    for number in 0..NODES {
        machines.push(Machine::new(&ground, &site, number).await);
    }

    let end = Instant::now() + lasts;
    let blown = machines.iter().zip(1..).map(|(machine, number)| {
        let dice = Dice::new(seed.wrapping_mul(31).wrapping_add(number));
        machine.suffer(&ground.fake, dice, end)
    });
    let (losses, ()) = tokio::join!(join_all(blown), lose_logins(&ground, Dice::new(seed), lasts));
    println!("lost: {losses:?}");
    all_final(&queue, Duration::from_secs(150)).await;
    let first = all(&queue).await;
    let met_login = first.iter().filter(|job| job.state == State::Cancelled).count();
    let failed: Vec<_> = first
        .iter()
        .filter(|job| !matches!(job.state, State::Completed | State::Cancelled))
        .map(|job| (job.id, job.state, job.reason.clone()))
        .collect();
    assert_eq!(failed, []);
    let slots = NODES * SLOTS as usize;
    assert!(met_login <= slots * LOGINS_LOST, "{met_login} have met a lost login");
    assert_eq!(queue.retry_where(FailureKind::Authentication, None).await.expect("a write").len(), met_login);
    all_final(&queue, Duration::from_secs(60)).await;

    let jobs = all(&queue).await;
    let unwell: Vec<_> = jobs.iter().filter(|job| job.state != State::Completed).collect();
    assert!(unwell.is_empty() && jobs.len() == JOBS, "{} jobs, of them {unwell:?}", jobs.len());
    let mut lost = Vec::new();
    for (job, then) in jobs.iter().zip(&first) {
        // The one that met the login has counted when it was cancelled.
        let allowed = 1 + u32::from(then.state == State::Cancelled);
        if job.counted_attempts() > allowed || job.snoozes > 0 {
            lost.push((job.id, job.counted_attempts(), job.snoozes, &job.reason));
        }
    }
    assert!(lost.is_empty(), "attempts were lost: {lost:?}");
    let mut paid = BTreeMap::<i64, usize>::new();
    for entry in ground.journal.entries().iter().filter(|entry| entry.event == Event::Start) {
        *paid.entry(entry.job).or_default() += 1;
    }
    paid.retain(|_, runs| *runs != 1);
    assert!(paid.is_empty(), "paid more than once: {paid:?}");
    assert_eq!(ground.journal.entries().iter().filter(|entry| entry.event == Event::End).count(), JOBS);
    verdict::end(machines.iter_mut().map(|machine| &mut machine.node), &ground.fleet);
}

/// Short jobs that come due over this time; the handler of each fails one time in five.
async fn insert(queue: &Queue, dice: &mut Dice, count: usize, over: Duration) {
    let over = u64::try_from(over.as_millis()).expect("not ages");
    let jobs = (0..count).map(|_| {
        let job = Chore::new(format!("{} false stumble", dice.millis(20, 300).as_millis()));
        job.schedule_in(dice.millis(0, over)).into_new_job().expect("valid")
    });
    queue.insert_many(jobs.collect::<Vec<_>>()).await.expect("the database is there");
}

async fn all(queue: &Queue) -> Vec<Job> {
    let mut filter = Filter::default();
    filter.limit = 10_000;
    queue.list(&filter).await.expect("the database is there")
}

/// From time to time the account is logged out for a few seconds.
async fn lose_logins(ground: &Ground, mut dice: Dice, lasts: Duration) {
    let well = Script { journal: Some(ground.journal.folder().to_owned()), ..Script::default() };
    let logged_out = Script {
        takes: vec![Take::replay("not_logged_in")],
        auth: Answer { stdout: Some(r#"{"loggedIn":false,"authMethod":"none"}"#.to_owned()), exit: 1 },
        ..well.clone()
    };
    for _ in 0..LOGINS_LOST {
        sleep(lasts / 3).await;
        ground.fake.rewrite(&logged_out);
        sleep(dice.millis(2_000, 5_000)).await;
        ground.fake.rewrite(&well);
    }
}

impl Machine {
    async fn new(ground: &Ground, site: &Site, number: usize) -> Machine {
        let Site::Postgres(database) = site else { panic!("a wire leads to a server") };
        let wire = Proxy::to(database.socket()).await;
        let file = |name: &str| ground.folder.path().join(format!("{name}{number}"));
        let (binary, out_of_memory) = (file("claude"), file("out-of-memory"));
        link(&ground.fake, &binary);
        let order = Order {
            claude: binary.clone(),
            out_of_memory: Some(out_of_memory.clone()),
            // However busy this machine is, no run is stopped for a database that is away for seconds.
            lease_s: 60,
            ..ground.order(database.url_by_port(wire.port()), SLOTS)
        };
        let node = Node::start(order, ground.fleet.name(), ground.log(&format!("node{number}")));
        Machine { node, binary, out_of_memory, wire }
    }

    /// Loses one thing after the other, each for a few seconds: the database for much less than a lease, after which a
    /// run is rightly stopped. How often which.
    async fn suffer(&self, fake: &FakeClaude, mut dice: Dice, end: Instant) -> [u32; 3] {
        let mut losses = [0; 3];
        loop {
            let calm = dice.millis(500, 4_000);
            if Instant::now() + calm >= end {
                return losses;
            }
            sleep(calm).await;
            let lost = dice.below(3);
            losses[usize::try_from(lost).expect("small")] += 1;
            match lost {
                0 => {
                    fs::remove_file(&self.binary).expect("the link is there");
                    sleep(dice.millis(200, 4_000)).await;
                    link(fake, &self.binary);
                }
                1 => {
                    fs::write(&self.out_of_memory, "").expect("a writable folder");
                    sleep(dice.millis(1_000, 4_000)).await;
                    fs::remove_file(&self.out_of_memory).expect("the file is there");
                }
                _ => {
                    self.wire.set(if dice.once_in(2) { Wire::Cut } else { Wire::Silent });
                    sleep(dice.millis(200, 4_000)).await;
                    self.wire.set(Wire::Whole);
                }
            }
        }
    }
}

fn link(fake: &FakeClaude, path: &std::path::Path) {
    std::os::unix::fs::symlink(fake.path(), path).expect("a link");
}
