//! `jobs prune`: what an operator sees of it.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::Take;
use serde_json::json;

use super::{Machine, text};

#[test]
fn jobs_that_ended_long_ago_are_counted_and_then_removed() {
    let fake = FakeClaude::new([Take::success("Done.")]);
    let machine = Machine::with_claude(&fake.path());
    let done = machine.enqueue("one", &[]);
    machine.drain();
    let cancelled = machine.enqueue("two", &[]);
    machine.run(&["jobs", "cancel", &cancelled]);

    let prune = |flags: &[&str]| machine.run(&[&["jobs", "prune"], flags].concat());
    let young = prune(&["--state", "completed", "--older-than", "1h"]);
    assert_eq!(text(&young.stdout).trim(), "0 completed removed");
    std::thread::sleep(std::time::Duration::from_millis(5));
    let both = ["--state", "completed", "--state", "cancelled", "--older-than", "1ms"];
    let dry = prune(&[&both[..], &["--dry-run"]].concat());
    assert_eq!(text(&dry.stdout).trim(), "1 completed would be removed\n1 cancelled would be removed");
    assert_eq!(machine.show(&done)["state"], "completed");

    let removed = machine.json(&["jobs", "prune", "--state", "completed", "--older-than", "1ms", "--json"]);
    assert_eq!(removed, json!([{ "state": "completed", "jobs": 1, "dry_run": false }]));
    assert!(text(&machine.run(&["jobs", "show", &done]).stderr).contains("there is no job"));
    assert_eq!(machine.show(&cancelled)["state"], "cancelled");
}
