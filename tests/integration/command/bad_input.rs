//! Bad input: a message that names the value and the remedy, the right exit code, nothing lost.

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::Take;
use serde_json::json;

use super::{Machine, text};

fn machine() -> (FakeClaude, Machine) {
    let fake = FakeClaude::new([Take::success("Done.")]);
    let machine = Machine::with_claude(&fake.path());
    (fake, machine)
}

#[test]
fn usage_mistakes_are_named() {
    let (fake, machine) = machine();
    assert!(machine.run(&["work", "--drain"]).status.success(), "there is a database");
    let long = machine.sandbox.path().join("long");
    std::fs::write(&long, "x".repeat(20 << 20)).expect("a file");
    let table: &[(&[&str], i32, &str)] = &[
        (&["enqueue", " "], 2, "`prompt` takes text"),
        (&["enqueue", "x", "--max-turns", "-3"], 2, "-3"),
        (&["enqueue", "x", "--max-turns", "many"], 2, "a whole number from 1"),
        (&["enqueue", "x", "--permission-mode", "bypass"], 2, "bypass_permissions"),
        (&["enqueue", "x", "--modle", "sonnet"], 2, "--model"),
        (&["enqueue", "x", "--priority", "10"], 2, "10"),
        (&["enqueue", "x", "--priority", "-1"], 2, "-1"),
        (&["enqueue", "x", "--max-attempts", "0"], 2, "0"),
        (&["enqueue", "x", "--schedule-in", "soon"], 2, "soon"),
        (&["enqueue", "x", "--meta", "{"], 2, "meta"),
        (&["enqueue", "x", "--queue", "a b"], 2, "a b"),
        (&["enqueue", "x", "--worker", "nobody"], 2, "nobody"),
        (&["enqueue"], 2, "PROMPT"),
        (&["work", "--queue", "review=0"], 2, "review"),
        (&["work", "--queue", "=2"], 2, "=2"),
        (&["work", "--queue", "review=many"], 2, "many"),
        (&["jobs", "show", "seven"], 2, "seven"),
        (&["jobs", "list", "--state", "lost"], 2, "lost"),
        (&["jobs", "prune", "--older-than", "30d"], 2, "--state"),
        (&["jobs", "prune", "--state", "completed"], 2, "--older-than"),
        (&["jobs", "prune", "--state", "available", "--older-than", "30d"], 2, "completed"),
        (&["jobs", "prune", "--state", "completed", "--older-than", "soon"], 2, "give an age: `30d`"),
        (&["jobs", "show", "77"], 1, "there is no job 77"),
        (&["jobs", "cancel", "77"], 1, "there is no job 77"),
        (&["--database", "sqlite://missing/jobs.db", "jobs", "list"], 1, "create it first"),
        (&["--database", "jobs.db", "jobs", "list"], 1, "sqlite://"),
        (&["nonsense"], 2, "nonsense"),
    ];
    for (arguments, code, expected) in table {
        let output = machine.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {expected} not in {said}");
        assert!(said.starts_with("error: ") && !said.contains("panicked"), "{arguments:?}: {said}");
    }
    let input = std::fs::File::open(&long).expect("a file");
    let output = machine.command(&["enqueue", "-"]).stdin(input).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("10485759"), "{}", text(&output.stderr));
    assert!(fake.records().is_empty());
    assert!(
        machine.json(&["jobs", "list", "--json"]).as_array().is_some_and(Vec::is_empty),
        "nothing was written"
    );
}

#[test]
fn a_file_that_is_no_database_or_cannot_be_read() {
    let (_fake, machine) = machine();
    let file = machine.sandbox.path().join("text.db");
    std::fs::write(&file, "only text, ".repeat(1_000)).expect("a file");
    let url = format!("sqlite://{}", file.display());
    let output = machine.run(&["--database", &url, "jobs", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not a database"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "only text, ".repeat(1_000), "left as it is");
}

#[test]
fn a_duplicate_is_reported() {
    let (_fake, machine) = machine();
    let enqueue = || machine.json(&["enqueue", "x", "--unique-period", "60", "--json"]);
    let (first, second) = (enqueue(), enqueue());
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(first["id"], second["id"]);
}

#[test]
fn definitions_are_read_from_the_users_own_program() {
    let (_fake, machine) = machine();
    let workers = machine.json(&["workers", "list", "--json"]);
    let names: Vec<_> = workers.as_array().expect("a list").iter().map(|worker| &worker["name"]).collect();
    assert_eq!(names, ["claude", "reply"]);
    let reply = machine.json(&["workers", "show", "reply", "--json"]);
    assert_eq!(reply, workers[1]);
    assert_eq!(
        reply["fields"],
        json!([
            {"name": "sender", "type": "String", "untrusted": false},
            {"name": "letter", "type": "String", "untrusted": true},
        ])
    );
    assert_eq!((&reply["max_attempts"], &reply["unique"]["by"]), (&json!(2), &json!(["sender"])));
    assert_eq!(reply["args"]["prompt"], "Reply to {sender}.\n\n{letter}");
    assert!(reply["defined_at"].as_str().expect("a place").contains("bin/jobs.rs:"), "{reply:#}");

    let shown = text(&machine.run(&["workers", "show", "reply"]).stdout);
    assert!(
        shown.contains("  letter: String, untrusted\n") && shown.contains("    Reply to {sender}.\n"),
        "{shown}"
    );
    let listed = text(&machine.run(&["workers", "list"]).stdout);
    assert!(listed.contains("reply") && listed.contains("sender, letter"), "{listed}");
    let unknown = machine.run(&["workers", "show", "replay"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown.stderr));
    assert!(text(&unknown.stderr).contains("this program knows claude, reply"), "{}", text(&unknown.stderr));
    assert!(!machine.sandbox.path().join("jobs.db").exists(), "no database is opened");
}

#[test]
fn a_worker_with_fields_takes_them_as_input() {
    let (fake, machine) = machine();
    let input = r#"{"sender": "Ada", "letter": "Dear all"}"#;
    let id = machine.json(&["enqueue", "--worker", "reply", "--input", input, "--json"])["id"].to_string();
    machine.run(&["work", "--drain", "--queue", "letters=1"]);
    assert_eq!(machine.show(&id)["state"], "completed");
    let record = &fake.records()[0];
    let prompt = record.stdin.as_deref().expect("a prompt");
    assert!(prompt.starts_with("Reply to Ada.\n\nThe block") && prompt.contains("\nDear all\n"), "{prompt}");
    let no_mentions = record.env.get("CLAUDE_CODE_DISABLE_FILE_MENTIONS").map(String::as_str);
    assert_eq!(no_mentions, Some("1"), "`@path` in a letter attaches no file");
    let settings = record.argv.iter().skip_while(|argument| *argument != "--settings").nth(1);
    let settings = settings.map(String::as_str);
    assert_eq!(
        settings,
        Some(r#"{"useAutoModeDuringPlan":false}"#),
        "in plan mode no model grants a command"
    );

    let missing = machine.run(&["enqueue", "--worker", "reply", "--input", r#"{"sender": "Ada"}"#]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("missing field `letter`"), "{}", text(&missing.stderr));
}

#[test]
fn a_mistyped_queue_is_not_steered() {
    let (_fake, machine) = machine();
    machine.enqueue("x", &["--queue", "review"]);
    for action in [&["pause", "reviwe"][..], &["resume", "reviwe"], &["scale", "reviwe", "3"]] {
        let refused = machine.run(&[&["queues"], action].concat());
        let told = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("unknown queue `reviwe`: did you mean `review`?"), "{told}");
    }
    let names = || machine.json(&["queues", "list", "--json"]).as_array().expect("a list").len();
    assert_eq!(names(), 1, "nothing was written");
    machine.json(&["queues", "pause", "review", "--json"]);
    machine.json(&["queues", "pause", "reviwe", "--force", "--json"]);
    assert_eq!(names(), 2);
}

/// What is done is done, and told on the other stream.
#[test]
fn a_full_standard_output_makes_no_failure_of_what_was_done() {
    let (_fake, machine) = machine();
    let full = |arguments: &[&str]| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = machine.command(arguments).stdout(full).output().expect("it starts");
        (output.status.code(), text(&output.stderr))
    };
    for arguments in
        [&["enqueue", "x", "--schedule-in", "1h"][..], &["enqueue", "x", "--schedule-in", "1h", "--json"]]
    {
        let (code, told) = full(arguments);
        assert!(code == Some(0) && told.contains("is inserted (cannot write"), "{told}");
    }
    for (arguments, line) in [
        (&["queues", "pause", "default", "--json"][..], "queue default: paused"),
        (&["jobs", "cancel", "1"], "1 cancelled"),
        (&["jobs", "retry", "1"], "1 available"),
        (&["jobs", "delete", "1", "--json"], "1 deleted"),
        (&["jobs", "prune", "--state", "cancelled", "--older-than", "1d"], "0 cancelled removed"),
    ] {
        let (code, told) = full(arguments);
        assert!(code == Some(0) && told.contains(line), "{arguments:?}: {told}");
    }
    assert_eq!(machine.json(&["jobs", "list", "--json"]).as_array().expect("a list").len(), 1);
    for look in
        [&["jobs", "list"][..], &["jobs", "prune", "--state", "cancelled", "--older-than", "1d", "--dry-run"]]
    {
        let (code, told) = full(look);
        assert!(code == Some(1) && told.contains("cannot write"), "{look:?}: {told}");
    }
}

#[test]
fn whole_numbers_that_would_lose_digits_are_refused() {
    let (_fake, machine) = machine();
    let refused = machine.run(&["enqueue", "x", "--meta", r#"{"ticket": 123456789012345678901}"#]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("`123456789012345678901` has more digits"), "{told}");
    let id = machine.enqueue("x", &["--meta", r#"{"ticket": 18446744073709551615}"#]);
    assert_eq!(machine.show(&id)["meta"]["ticket"].to_string(), "18446744073709551615");
}

#[test]
fn operators_steer_from_the_command_line() {
    let (fake, machine) = machine();
    let id = machine.enqueue("x", &["--schedule-in", "1h"]);
    assert_eq!(machine.show(&id)["state"], "scheduled");
    machine.json(&["jobs", "cancel", &id, "--json"]);
    assert_eq!(machine.show(&id)["state"], "cancelled");
    machine.json(&["jobs", "retry", &id, "--json"]);
    machine.json(&["queues", "pause", "default", "--json"]);
    machine.drain();
    assert!(fake.records().is_empty(), "paused");
    machine.json(&["queues", "scale", "default", "1", "--json"]);
    machine.json(&["queues", "resume", "default", "--json"]);
    machine.drain();
    assert_eq!((&machine.show(&id)["state"], fake.records().len()), (&json!("completed"), 1));
    machine.json(&["jobs", "delete", &id, "--json"]);
    assert_eq!(machine.run(&["jobs", "show", &id]).status.code(), Some(1));
}

#[test]
fn args_shows_what_would_run_and_runs_nothing() {
    let (fake, machine) = machine();
    let flags =
        ["--timeout", "15m", "--allowed-tools", "Read", "--allowed-tools", "Bash(git log:*)", "--hermetic"];
    let args = machine.json(&[&["args", "hello"], &flags[..]].concat());
    let expected = json!({
        "prompt": "hello", "timeout": 900, "allowed_tools": ["Read", "Bash(git log:*)"], "hermetic": "full",
    });
    assert_eq!(args, expected);
    assert!(fake.records().is_empty());
}
