//! The live line is for people: nothing of it where standard error is no terminal.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::Take;

use super::{Machine, text};

#[test]
fn no_control_characters_without_a_terminal() {
    let fake = FakeClaude::new([Take::success("Done.")]);
    let machine = Machine::with_claude(&fake.path());
    let output = machine.run(&["run", "x"]);
    assert_eq!(text(&output.stdout), "Done.\n");
    assert!(!text(&output.stderr).contains(['\u{1b}', '\r']), "{:?}", text(&output.stderr));
}

/// Another process inserts; the worker looks every 100 ms.
#[test]
fn an_insert_of_another_process_starts_within_the_poll() {
    let fake = FakeClaude::new([Take::success("Done.")]);
    let machine = Machine::with_claude(&fake.path());
    machine.drain();
    let mut work = machine.command(&["work"]).spawn().expect("it starts");
    let mut slowest = jiff::SignedDuration::ZERO;
    for _ in 0..5 {
        let id = machine.enqueue("x", &[]);
        let job = loop {
            let job = machine.show(&id);
            if job["state"] == "completed" {
                break job;
            }
            assert!(work.try_wait().expect("it is ours").is_none(), "work has ended");
        };
        let moment = |json: &serde_json::Value| -> jiff::Timestamp {
            json.as_str().expect("a moment").parse().expect("RFC 3339")
        };
        let waited = moment(&job["runs"][0]["started_at"]).duration_since(moment(&job["inserted_at"]));
        slowest = slowest.max(waited);
    }
    work.kill().expect("it is ours");
    work.wait().expect("it is ours");
    assert!(slowest < jiff::SignedDuration::from_secs(1), "{slowest:?}: not the 5 s of the fallback");
}
