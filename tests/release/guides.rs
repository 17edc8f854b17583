//! The commands of README and guides, run as they stand: what is fenced as `sh` is a script.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use claude_jobs::telemetry;
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::Sandbox;
use serde_json::json;

use super::{builds_alone, quick_builds, repository, said};

/// The blocks that are fenced as `sh`.
fn scripts(text: &str) -> Vec<String> {
    let mut scripts = Vec::new();
    let mut is_shell = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_shell = line == "```sh";
            scripts.extend(is_shell.then(String::new));
        } else if let Some(script) = scripts.last_mut().filter(|_| is_shell) {
            script.push_str(line);
            script.push('\n');
        }
    }
    scripts
}

fn guide(name: &str) -> String {
    fs::read_to_string(repository().join("docs").join(name)).expect("a guide")
}

/// Runs a script in a folder that holds nothing but this repository, with the newest real claude talking to this API.
/// `cargo install` is left to the test of the packages: here it finds the command that is built already.
fn follow(script: &str, sandbox: &Sandbox, api: &Api) -> String {
    let _alone = builds_alone();
    let folder = sandbox.path();
    symlink(repository(), folder.join("claude-jobs")).expect("a link");
    let programs = sandbox.folder("bin");
    symlink(RealClaude::Newest.path(), programs.join("claude")).expect("a link");
    symlink(env!("CARGO_BIN_EXE_jobs"), programs.join("claude-jobs")).expect("a link");
    let lock = repository().join("Cargo.lock");
    let cargo = format!(
        "#!/bin/sh\n[ \"$1\" = install ] && exit 0\n[ -e Cargo.lock ] || cp '{}' .\nexec '{}' \"$@\"\n",
        lock.display(),
        env!("CARGO"),
    );
    write_program(&programs.join("cargo"), &cargo);
    let mut bash = Command::new("bash");
    bash.args(["-euxo", "pipefail", "-c", script]).current_dir(folder).stdin(Stdio::null());
    bash.env_clear().envs(sandbox.env(&api.url())).envs(quick_builds());
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
    bash.env("PATH", path).env("GIT_CONFIG_NOSYSTEM", "1");
    // Rust's own folders are in the home that the sandbox does not have.
    for (name, below) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let home = || std::env::var("HOME").map(|home| format!("{home}/{below}"));
        bash.env(name, std::env::var(name).or_else(|_| home()).expect("a home"));
    }
    // Without it rustup goes by the files that crates bring along, and may fetch another toolchain.
    bash.env("RUSTUP_TOOLCHAIN", Path::new(env!("CARGO")).ancestors().nth(2).expect("bin/cargo"));
    said(&mut bash)
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn getting_started() {
    let sandbox = Sandbox::new();
    let worktree = sandbox.path().join("my_app/.claude/worktrees/issue-1");
    let api = Api::start([
        Reply::tool("Write", json!({"file_path": worktree.join("hello.txt"), "content": "hello\n"})),
        Reply::tool(
            "Bash",
            json!({"command": "git add hello.txt && git commit -m 'Say hello'", "description": "Commit"}),
        ),
        Reply::text("Added hello.txt."),
    ]);
    let said = follow(&scripts(&guide("getting-started.md")).concat(), &sandbox, &api);
    for words in [
        "3 passed",
        "job 1 started: IssueWork in issues",
        "job 1 completed",
        "Added hello.txt.",
        "hello.txt | 1 +",
    ] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    assert_eq!(fs::read_to_string(worktree.join("hello.txt")).expect("the agent's file"), "hello\n");
}

#[test]
fn operating() {
    let sandbox = Sandbox::new();
    let api = Api::start([Reply::text("Hello."), Reply::text("Hello again.")]);
    let said = follow(&scripts(&guide("operating.md")).concat(), &sandbox, &api);
    for words in ["job 1 completed", "queue default: paused", "Hello again.", "1 deleted"] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
}

/// Of the README's commands CI runs these two before all others: the first in a fresh clone, and this here.
const RUN_BY_CI: [&str; 2] = ["cargo run -p claude-jobs-examples --example playground\n", "tests/run\n"];

/// What blows for an hour there, CI lets blow for two minutes: `chaos::fleet`.
const FOR_AN_HOUR: &str = "CLAUDE_JOBS_CHAOS_SEED=7 CLAUDE_JOBS_CHAOS_SECONDS=3600 ";

#[test]
fn readme() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("a README");
    let mut scripts = scripts(&readme);
    scripts.retain(|script| !RUN_BY_CI.contains(&&**script) && !script.starts_with(FOR_AN_HOUR));
    let [run, command] = &scripts[..] else { panic!("these too have to be run: {scripts:?}") };
    let sandbox = Sandbox::new();
    let api = Api::start([Reply::text("It runs jobs."), Reply::text("No test is flaky.")]);
    let said = follow(&format!("(cd claude-jobs\n{run})\n{command}"), &sandbox, &api);
    for words in ["It runs jobs.", "\"result\":\"No test is flaky.\"", "says: No test is flaky."] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
    assert!(sandbox.path().join("my_app/src/main.rs").exists());
}

/// The guides: their names and what they say.
fn guides() -> Vec<(String, String)> {
    let entries = fs::read_dir(repository().join("docs")).expect("the guides");
    let mut guides: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
            (name, fs::read_to_string(path).expect("a guide"))
        })
        .collect();
    guides.sort();
    guides
}

#[test]
fn every_guide_is_compiled_and_its_commands_are_run() {
    let compiled = fs::read_to_string(repository().join("claude-jobs/src/guides.rs")).expect("a list");
    let mut with_commands = Vec::new();
    for (name, text) in guides() {
        assert!(compiled.contains(&format!("\"docs/{name}\"")), "{name} is not in claude-jobs/src/guides.rs");
        if text.contains("```sh\n") {
            with_commands.push(name);
        }
    }
    // Those that are followed above.
    assert_eq!(with_commands, ["getting-started.md", "operating.md"]);
}

#[test]
fn links_lead_somewhere() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("a README");
    for (name, text) in guides().into_iter().chain([("../README.md".to_owned(), readme)]) {
        let folder = repository().join("docs").join(&name).parent().expect("a folder").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().expect("a path");
            assert!(target.contains("://") || folder.join(path).exists(), "{name}: {target}");
        }
    }
}

/// `path.rs` and `path.rs: test`.
#[test]
fn files_and_tests_that_guides_name_are_there() {
    let mut tests = 0;
    for (name, text) in guides() {
        for quoted in
            text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains('/') && quoted.contains(".rs"))
        {
            let (path, test) =
                quoted.split_once(": ").map_or((quoted, None), |(path, test)| (path, Some(test)));
            let source = fs::read_to_string(repository().join(path));
            // In a program that `init` made.
            let template = || {
                path.strip_prefix("src/").map(|path| repository().join("claude-jobs/templates").join(path))
            };
            let source = source.or_else(|error| template().map_or(Err(error), fs::read_to_string));
            let source = source.unwrap_or_else(|error| panic!("{name}: {path}: {error}"));
            if let Some(test) = test {
                tests += 1;
                assert!(source.contains(&format!("fn {test}(")), "{name}: no {test} in {path}");
            }
        }
    }
    assert!(tests > 20, "{tests}");
}

#[test]
fn operating_names_every_metric_span_and_log_event() {
    let text = fs::read_to_string(repository().join("docs/operating.md")).expect("a guide");
    let metrics = telemetry::METRICS.iter().map(|row| format!("| `{}` | ", row.name));
    let spans = telemetry::SPANS.iter().map(|row| format!("| `{}` | {} | ", row.name, row.level));
    let events = telemetry::EVENTS.iter().map(|row| format!("| {} | {} | ", row.level, row.message));
    for row in metrics.chain(spans).chain(events) {
        assert!(text.lines().any(|line| line.starts_with(&row)), "docs/operating.md lacks {row:?}");
    }
}
