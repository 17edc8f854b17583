//! A program of the user's own that configures the runtime of `work`.

use std::process::{Command, Output};

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::Take;

use super::secrets::files_with;
use super::{Machine, text};

fn run(machine: &Machine, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_program"));
    command.args(arguments).current_dir(&machine.repo).env_clear().envs(machine.env.iter().cloned());
    command.output().expect("the program starts")
}

const INPUT: &str = r#"{"subject": "tea"}"#;

#[test]
fn work_runs_what_the_program_has_configured() {
    let fake = FakeClaude::new([Take::success("It is hot.")]);
    let mut machine = Machine::with_claude(&fake.path());
    let url = format!("sqlite://{}/notes.db", machine.sandbox.path().display());
    machine.set("PROGRAM_DATABASE", &url);
    let inserted = run(&machine, &["enqueue", "--worker", "Note", "--input", INPUT]);
    assert_eq!(text(&inserted.stdout), "1\n", "no other command sets up: {}", text(&inserted.stderr));

    let worked = run(&machine, &["work", "--drain"]);
    let (out, err) = (text(&worked.stdout), text(&worked.stderr));
    assert!(worked.status.success(), "{err}");
    assert!(out.starts_with("the pool is open\nheard of a start\n"), "{out}");
    assert!(err.contains("job 1 completed"), "the command still tells: {err}");
    let told = run(&machine, &["jobs", "show", "1"]);
    assert!(text(&told.stdout).contains("It is hot."), "{}", text(&told.stdout));

    // What is given on the command line counts for more.
    let worked = run(&machine, &["work", "--drain", "--queue", "others=1"]);
    assert!(worked.status.success(), "{}", text(&worked.stderr));
    let refused = run(&machine, &["work", "--drain", "--lease", "1s"]);
    assert!(text(&refused.stderr).contains("lease of 1s"), "{}", text(&refused.stderr));
}

#[test]
fn a_setup_that_fails_claims_nothing() {
    let fake = FakeClaude::new([Take::success("It is hot.")]);
    let machine = Machine::with_claude(&fake.path());
    run(&machine, &["enqueue", "--worker", "Note", "--input", INPUT]);
    let worked = run(&machine, &["work", "--drain"]);
    let said = text(&worked.stderr);
    assert_eq!(worked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error: this program's setup: PROGRAM_DATABASE: environment variable not found"),
        "{said}"
    );
    assert!(fake.records().is_empty());
    assert_eq!(machine.show("1")["state"], "available");
}

/// Nor does it pass them on: its answer is stored until it has handled it, and what it makes of it is its own affair.
#[test]
fn a_handler_gets_the_answer_without_secrets() {
    let secret = "tok_veryS3cretValue12345";
    let fake = FakeClaude::new([Take::success(&format!("It is {secret}."))]);
    let mut machine = Machine::with_claude(&fake.path());
    machine.set("MY_API_TOKEN", secret);
    machine.set("PROGRAM_DATABASE", &format!("sqlite://{}/notes.db", machine.sandbox.path().display()));
    run(&machine, &["enqueue", "--worker", "Note", "--input", INPUT]);
    let worked = run(&machine, &["work", "--drain"]);
    assert!(text(&worked.stderr).contains("job 1 completed"), "{}", text(&worked.stderr));
    assert!(files_with(&machine, "It is [secret].").iter().any(|file| file.starts_with("notes.db")));
    assert_eq!(files_with(&machine, secret), [""; 0]);
}
