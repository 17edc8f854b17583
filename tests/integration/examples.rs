//! Each example ends well, offline, within 20 seconds.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::real_claude::real_claude;
use claude_jobs_tests::sandbox::Sandbox;

/// What the issue of the examples promises.
const LONGEST: Duration = Duration::from_secs(20);

/// An example, as `tests/run` has built it. Building it here would build everything once more: another
/// selection of packages is another selection of features.
fn built(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let example = program.ancestors().nth(2).expect("target/debug").join("examples").join(name);
    assert!(example.exists(), "build the examples first: cargo build --workspace --examples");
    example
}

/// Runs an example to its end; what it printed.
fn run(name: &str, database: Option<&str>) -> String {
    let mut command = Command::new(built(name));
    let start = Instant::now();
    command.env_remove("DATABASE_URL").stdin(Stdio::null());
    if let Some(url) = database {
        command.env("DATABASE_URL", url);
    }
    let said = ended_well(name, &mut command);
    assert!(start.elapsed() < LONGEST, "{name} took {:?}", start.elapsed());
    said
}

fn ended_well(name: &str, command: &mut Command) -> String {
    let output = command.output().expect("the example starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}\n{err}");
    out.into_owned()
}

/// What stands for GitHub's command: it lists the issues that the example has when it is offline.
const GH: &str = concat!("#!/bin/sh\ncat '", env!("CARGO_MANIFEST_DIR"), "/../examples/data/issues.json'\n");

/// Runs an example with the real claude, which gets this for an answer from a stand-in of the API.
fn run_live(name: &str, answer: Reply) -> String {
    let (sandbox, api) = (Sandbox::new(), Api::start([answer]));
    let programs = sandbox.folder("bin");
    symlink(real_claude(), programs.join("claude")).expect("a link");
    std::fs::write(programs.join("gh"), GH).expect("a program");
    std::fs::set_permissions(programs.join("gh"), Permissions::from_mode(0o755)).expect("it may be run");
    let mut command = Command::new(built(name));
    command.arg("--live").env_clear().envs(sandbox.env(&api.url())).stdin(Stdio::null());
    let path = std::env::var("PATH").expect("a PATH");
    command.env("PATH", format!("{}:{path}", programs.display())).current_dir(sandbox.path());
    let said = ended_well(name, &mut command);
    assert!(!api.requests().is_empty(), "{name} has asked nobody: {said}");
    said
}

macro_rules! examples {
    ($($name:ident: $says:literal;)*) => {
        $(#[test]
        fn $name() {
            let said = run(stringify!($name), None);
            assert!(said.contains($says), "{said}");
        })*

        #[test]
        fn every_example_is_run() {
            let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/examples");
            let files = std::fs::read_dir(sources).expect("the examples").map(|file| file.expect("a file"));
            let mut found: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
            let mut run = vec![$(concat!(stringify!($name), ".rs").to_owned()),*];
            found.sort();
            run.sort();
            assert_eq!(found, run);
        }
    };
}

examples! {
    playground: "each where it belongs";
    scheduled_routine: "Mon 09:00, Fri 09:00, Thu 09:00";
    event_driven: "13 events, 2 jobs";
    triage_issues: "3 issues for $0.12";
    pipeline: "three steps, one worktree";
    propose_dispose: "only what was proposed";
    full_auto: "inside its rails: completed";
    transactional_insert: "PostgreSQL: not tried";
}

macro_rules! live {
    ($($name:ident: $answer:expr => $says:literal;)*) => {
        mod live {
            use claude_jobs_tests::api::Reply;
            use serde_json::json;

            $(
            #[test]
            fn $name() {
                let said = super::run_live(stringify!($name), $answer);
                assert!(said.contains($says), "{said}");
            }
            )*
        }
    };
}

// All but the playground, whose failures nobody can ask of the real one.
live! {
    scheduled_routine: Reply::text("All is well.") => "Mon 09:00, Fri 09:00, Thu 09:00";
    event_driven: Reply::text("All is well.") => "13 events, 2 jobs";
    triage_issues: Reply::structured(json!({"label": "feature"})) => "#103: \"feature\"\n\n3 issues for $0.0";
    pipeline: Reply::text("All is well.") => "three steps, one worktree";
    propose_dispose: Reply::structured(json!({"proposal": "needs_human", "reason": "It is unclear."}))
        => "#3: NeedsHuman: It is unclear.";
    full_auto: Reply::text("All is well.") => "task 1: All is well.";
    transactional_insert: Reply::text("All is well.") => "PostgreSQL: not tried";
}

#[test]
fn the_users_transaction_on_postgres() {
    let database = claude_jobs_tests::postgres::database();
    let said = run("transactional_insert", Some(&database.url()));
    assert!(said.contains("PostgreSQL: customers [\"Ada\"]"), "{said}");
}
