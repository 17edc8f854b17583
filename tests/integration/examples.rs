//! Each example ends well, offline, within 20 seconds.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_jobs_tests::api::Api;
use claude_jobs_tests::real_claude::RealClaude;
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

/// Runs an example with the real claude, which gets its answers from this stand-in of the API.
fn run_live(claude: RealClaude, name: &str, api: &Api) -> String {
    let sandbox = Sandbox::new();
    let programs = sandbox.folder("bin");
    symlink(claude.path(), programs.join("claude")).expect("a link");
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

/// The names of the examples, in order.
fn there_are() -> Vec<String> {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/examples");
    let files = std::fs::read_dir(sources).expect("the examples").map(|file| file.expect("a file").path());
    sorted(files.map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()))
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort();
    names
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
            assert_eq!(sorted([$(stringify!($name).to_owned()),*]), there_are());
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
    ($($name:ident: $api:expr => $says:literal;)*) => {
        mod live {
            use claude_jobs_tests::api::{Api, Reply, Request};
            use claude_jobs_tests::on_each_claude;
            use claude_jobs_tests::real_claude::RealClaude;
            use serde_json::json;

            on_each_claude! { $($name),* }

            $(
            fn $name(claude: RealClaude) {
                let said = super::run_live(claude, stringify!($name), &$api);
                assert!(said.contains($says), "{said}");
            }
            )*

            #[test]
            fn every_example_is_run() {
                assert_eq!(super::sorted([$(stringify!($name).to_owned()),*]), super::there_are());
            }

            /// All that this one does is fine.
            fn well() -> Api {
                Api::start([Reply::text("All is well.")])
            }

            /// Does what the playground's jobs are made for.
            fn obedient(request: &Request) -> Reply {
                let says = |text: &str| request.body.to_string().contains(text);
                match () {
                    () if says("no-such-model") => Reply::unknown_model("no-such-model"),
                    () if says("list the files of your folder") => Reply::tool("Bash", json!({"command": "ls"})),
                    () if request.tool("StructuredOutput").is_some() => Reply::structured(json!({"fixed": true})),
                    () if says("say: nothing to do") => Reply::text("Nothing to do."),
                    () => Reply::text("All is well."),
                }
            }
        }
    };
}

live! {
    playground: Api::answering(obedient) => "8 jobs and the one that follows, each where it belongs";
    scheduled_routine: well() => "Mon 09:00, Fri 09:00, Thu 09:00";
    event_driven: well() => "13 events, 2 jobs";
    triage_issues: Api::start([Reply::structured(json!({"label": "feature"}))])
        => "#103: \"feature\"\n\n3 issues for $0.0";
    pipeline: well() => "three steps, one worktree";
    propose_dispose:
        Api::start([Reply::structured(json!({"proposal": "needs_human", "reason": "It is unclear."}))])
        => "#3: NeedsHuman: It is unclear.";
    full_auto: well() => "task 1: All is well.";
    transactional_insert: well() => "PostgreSQL: not tried";
}

#[test]
fn a_misspelt_argument_is_told() {
    for name in there_are() {
        let output = Command::new(built(&name)).arg("--lvie").output().expect("the example starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("unknown argument `--lvie`"), "{name}: {said}");
    }
}

#[test]
fn the_users_transaction_on_postgres() {
    let database = claude_jobs_tests::postgres::database();
    let said = run("transactional_insert", Some(&database.url()));
    assert!(said.contains("PostgreSQL: customers [\"Ada\"]"), "{said}");
}
