//! 200 runs, each ended at a random moment in a random way: nothing is left of any.

use std::time::Duration;

use claude_jobs::outcome::StopReason;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::wait_until;
use claude_jobs_tests::script::{Child, Step, Take};
use rustix::process::{Pid, Signal, kill_process};

use super::{FRONT, LIMIT, MADE, SOON, SUPERVISOR, Start, gone, named, processes};

const RUNS: u64 = 200;
const AT_ONCE: u64 = 8;

/// Numbers from a seed, so that a failure can be repeated (Knuth's multiplier).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_kills_leave_nothing() {
    let before = descriptors();
    for round in 0..RUNS / AT_ONCE {
        let batch = (0..AT_ONCE).map(|place| tokio::spawn(one(round * AT_ONCE + place)));
        for run in batch.collect::<Vec<_>>() {
            run.await.expect("no run fails");
        }
    }
    let zombies = || zombies_of_ours().is_empty();
    wait_until(LIMIT, "the last child to be reaped", zombies).await;
    // Other tests of this binary run meanwhile and have some open.
    wait_until(SOON * 3, "descriptors to be closed", || descriptors() < before + 150).await;
}

/// One run, ended in the way that its number's dice say.
async fn one(number: u64) {
    let mut dice = Dice(number + 20_261_123);
    let child = Child {
        ignore_signals: dice.below(2) == 0,
        daemonise: dice.below(2) == 0,
        hold_stdout: dice.below(4) == 0,
        ..Child::default()
    };
    let mut take = Take::hang().then(Step::ForkChild(child));
    if dice.below(4) == 0 {
        take = take.first(Step::IgnoreSigterm);
    }
    let fake = FakeClaude::new([take]);
    let mut start = Start::of(fake.path());
    start.grace = Duration::from_millis(200);
    start.made = MADE[number as usize % MADE.len()];
    let running = start.go();
    let marker = running.marker.clone();
    tokio::time::sleep(Duration::from_millis(dice.below(80))).await;
    let target = match dice.below(6) {
        0 => None,
        1 => {
            running.report.abort();
            gone(&marker, LIMIT).await;
            return;
        }
        2 => named(&marker, FRONT),
        3 => named(&marker, SUPERVISOR),
        4 => fake.records().first().map(|record| record.pid),
        _ => processes(&marker).get(dice.below(4) as usize).copied(),
    };
    match target.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // Killed just now by what came before, or not yet there.
        Some(id) => drop(kill_process(id, if dice.below(2) == 0 { Signal::KILL } else { Signal::TERM })),
        None => running.stop.fire(StopReason::Cancel),
    }
    // A signal to a child or an ignored one does not end the run.
    tokio::time::sleep(Duration::from_millis(30)).await;
    running.stop.fire(StopReason::Cancel);
    running.finish().await;
    gone(&marker, LIMIT).await;
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The children of this process that have ended and that nobody has waited for.
fn zombies_of_ours() -> Vec<String> {
    let this = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            fields.next() == Some("Z") && fields.next() == Some(&this)
        })
        .collect()
}
