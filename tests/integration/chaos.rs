//! Nodes that are killed, stopped and cut off at random, and what must hold whatever happens to them.
//!
//! `CLAUDE_JOBS_CHAOS_SEED` repeats a storm; `CLAUDE_JOBS_CHAOS_SECONDS` makes it longer or shorter.

mod clock;
mod environment;
mod fleet;
pub(crate) mod site;
pub(crate) mod verdict;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use claude_jobs::claude_worker;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::dice::Dice;
use claude_jobs_tests::chaos::journal::Journal;
use claude_jobs_tests::chaos::node::{Fleet, Order};
use claude_jobs_tests::fake::FakeClaude;
use tempfile::TempDir;

/// The least lease.
pub(crate) const LEASE: Duration = Duration::from_secs(12);

/// Has the name of the worker of `src/bin/node.rs`, which does what the prompt says.
#[claude_worker(queue = "chaos", max_attempts = 30)]
pub(crate) struct Chore;

/// Where nodes work: a fake claude with its journal, logs, and the name of all their processes.
pub(crate) struct Ground {
    /// First, so that nothing runs any more when the rest is removed.
    pub(crate) fleet: Fleet,
    pub(crate) fake: FakeClaude,
    pub(crate) journal: Journal,
    pub(crate) folder: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Ground {
        let (fake, journal) = FakeClaude::journalled();
        let folder = tempfile::tempdir().expect("a temporary folder");
        Ground { fleet: Fleet::new(), fake, journal, folder }
    }

    pub(crate) fn order(&self, url: String, concurrency: u32) -> Order {
        let claude = self.fake.path();
        Order {
            url,
            claude,
            lease_s: LEASE.as_secs(),
            concurrency,
            clock_ahead_s: 0,
            hides_runs: false,
            out_of_memory: None,
        }
    }

    pub(crate) fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
}

/// How long the storm blows, unless the environment says otherwise.
fn length(usual: Duration) -> Duration {
    let wanted = std::env::var("CLAUDE_JOBS_CHAOS_SECONDS").ok();
    let wanted = wanted.map(|text| text.parse().expect("CLAUDE_JOBS_CHAOS_SECONDS is a number"));
    wanted.map_or(usual, Duration::from_secs)
}

/// Inserts jobs that come due over this time: most are short, some take seconds, some start a tool that
/// outlives its CLI, some ask for a retry or a snooze, some may run but once.
pub(crate) async fn insert(queue: &Queue, dice: &mut Dice, count: usize, over: Duration) {
    let over = u64::try_from(over.as_millis()).expect("not ages");
    let mut jobs = Vec::with_capacity(count);
    for _ in 0..count {
        let sleep = if dice.once_in(12) { dice.millis(1_000, 4_000) } else { dice.millis(20, 300) };
        let tool = dice.once_in(8);
        let answer = ["complete", "complete", "complete", "retry", "snooze"][dice.below(5) as usize];
        let mut job = Chore::new(format!("{} {tool} {answer}", sleep.as_millis()));
        if dice.once_in(10) {
            job = job.max_attempts(1);
        }
        if !dice.once_in(4) {
            job = job.schedule_in(dice.millis(0, over.max(1)));
        }
        jobs.push(job.into_new_job().expect("valid"));
    }
    queue.insert_many(jobs).await.expect("the database is there");
}

/// Waits until every job is in a final state.
pub(crate) async fn all_final(queue: &Queue, deadline: Duration) {
    let start = Instant::now();
    loop {
        let counts = queue.counts().await.expect("the database is there");
        let open: u64 = counts.iter().filter(|count| !count.state.is_final()).map(|count| count.jobs).sum();
        if open == 0 {
            return;
        }
        assert!(
            start.elapsed() < deadline,
            "{open} jobs are not over after {deadline:?}:\n{}",
            stuck(queue).await
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The jobs that are not over.
async fn stuck(queue: &Queue) -> String {
    let mut text = String::new();
    for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
        let mut filter = Filter::default();
        (filter.state, filter.limit) = (Some(state), 20);
        for job in queue.list(&filter).await.expect("the database is there") {
            let Job { id, attempt, node, scheduled_at, attempted_at, reason, .. } = job;
            writeln!(
                text,
                "{id} {state:?} attempt {attempt} on {node:?}, due {scheduled_at}, begun {attempted_at:?}, {reason:?}"
            )
            .expect("a string");
        }
    }
    text
}
