//! `kill -9` of `work` at any moment, then `work` again: no job lost, none completed twice.

use std::time::Duration;

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Step, Take};
use serde_json::Value;

use super::Machine;

#[test]
fn killed_at_any_moment_nothing_is_lost_or_done_twice() {
    const JOBS: usize = 12;
    const KILLS: u64 = 10;
    let fake = FakeClaude::new([Take::success("Done.").then(Step::SleepMs(40))]);
    let machine = Machine::with_claude(&fake.path());
    for number in 0..JOBS {
        machine.enqueue(&format!("job {number}"), &["--max-attempts", "50"]);
    }
    // A seeded walk over the moments: before the first claim, amid runs, at settlements.
    let mut seed = 0x5eed_u64;
    for _ in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut work = machine.command(&["work", "--queue", "default=3"]).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(20 + (seed >> 33) % 250));
        work.kill().expect("it is ours");
        work.wait().expect("it is ours");
    }
    machine.drain();
    let jobs = machine.json(&["jobs", "list", "--json", "--limit", "100"]);
    let jobs = jobs.as_array().expect("a list");
    assert_eq!(jobs.len(), JOBS);
    for job in jobs {
        assert_eq!(job["state"], "completed", "{job:#}");
        let shown = machine.show(&job["id"].to_string());
        let runs = shown["runs"].as_array().expect("runs");
        let completed = runs.iter().filter(|run| run["outcome"] == "success").count();
        assert_eq!(completed, 1, "{shown:#}");
        assert_eq!(
            runs.len() as u64,
            shown["attempt"].as_u64().expect("a number"),
            "each attempt in the ledger"
        );
        assert!(runs.iter().all(|run| run["outcome"] == "success" || run["cost_usd"] == Value::Null));
    }
}

#[test]
fn ctrl_c_drains_and_twice_gives_back() {
    let fake = FakeClaude::new([Take::hang(), Take::success("Done.")]);
    let machine = Machine::with_claude(&fake.path());
    let id = machine.enqueue("x", &["--max-attempts", "1"]);
    let work = machine.command(&["work"]).spawn().expect("it starts");
    let pid = rustix::process::Pid::from_child(&work);
    wait(|| fake.records().len() == 1);
    let interrupt = || rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is ours");
    interrupt();
    std::thread::sleep(Duration::from_millis(200));
    interrupt();
    let output = work.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", super::text(&output.stderr));
    let job = machine.show(&id);
    assert_eq!((&job["state"], &job["uncounted"]), (&Value::from("available"), &Value::from(1)), "{job:#}");
    machine.drain();
    assert_eq!(machine.show(&id)["state"], "completed");
}

fn wait(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
