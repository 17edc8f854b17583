//! What an operator sees and does when an account could not work: why nothing starts, what was cancelled for it, and
//! bringing that back.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Script, Take};
use serde_json::{Value, json};

use super::{Machine, text};

fn states(machine: &Machine) -> Vec<Value> {
    let jobs = machine.json(&["jobs", "list", "--json"]);
    jobs.as_array().expect("a list").iter().rev().map(|job| job["state"].clone()).collect()
}

#[test]
fn what_a_lost_login_has_cancelled_is_found_and_brought_back() {
    let fake = FakeClaude::new([Take::replay("oauth_expired")]);
    let machine = Machine::with_claude(&fake.path());
    let ids: Vec<_> = (0..3).map(|_| machine.enqueue("x", &["--max-attempts", "1"])).collect();
    machine.run(&["work", "--drain", "--queue", "default=1"]);
    assert_eq!(states(&machine), ["cancelled", "available", "available"]);
    let queues = text(&machine.run(&["queues", "list"]).stdout);
    let waiting = text(&machine.run(&["jobs", "show", &ids[1]]).stdout);
    for said in [queues, waiting] {
        assert!(said.contains("no job starts for account") && said.contains("authentication: "), "{said}");
    }

    fake.rewrite(&Script { takes: vec![Take::success("done")], ..Script::default() });
    let said = |arguments: &[&str]| {
        let output = machine.run(arguments);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let would = (Some(0), format!("{} would be retried\n", ids[0]), String::new());
    let reason = ["jobs", "retry", "--reason", "authentication"];
    assert_eq!(said(&[&reason[..], &["--dry-run"]].concat()), would);
    assert_eq!(said(&["jobs", "retry", &ids[0], "--dry-run"]), would, "of ids, too");
    assert_eq!(said(&["jobs", "retry", &ids[0], "--handler", "--dry-run"]), would);
    assert_eq!(states(&machine), ["cancelled", "available", "available"], "nothing was done");
    let (code, out, err) = said(&["jobs", "retry", "--reason", "billing", "--since", "2h"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(err.contains("no job has ended for the reason `billing` within that time"), "{err}");
    let (code, _, err) = said(&["jobs", "retry", &ids[0], "--since", "2h"]);
    assert_eq!(code, Some(2), "{err}");
    let (code, _, err) = said(&["jobs", "retry", "--reason", "autentication"]);
    assert!(code == Some(2) && err.contains("`authentication`"), "{err}");

    let retried = machine.json(&[&reason[..], &["--since", "2h", "--json"]].concat());
    assert_eq!(retried, json!([{"id": ids[0].parse::<i64>().expect("a number"), "result": "available"}]));
    machine.run(&["queues", "resume", "default"]);
    machine.run(&["work", "--drain", "--grace", "0"]);
    assert_eq!(states(&machine), ["completed", "completed", "completed"]);
    assert_eq!(fake.records().len(), 4, "each once, and once for nothing");
}
