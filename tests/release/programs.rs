//! `init`: what it makes compiles without a warning, is laid out well, passes its own tests, and what belongs
//! to it fits it.

use std::fs;
use std::path::Path;
use std::process::Command;

use claude_jobs::claude::NEWEST_TESTED;
use tempfile::TempDir;

use super::{builds_alone, cargo, claude_jobs, repository, said, take_lock_file};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn init(folder: &Path, arguments: &[&str]) {
    let root = repository();
    let path = ["--path", root.to_str().expect("UTF-8")];
    said(&mut claude_jobs(folder, &[&["init"], arguments, &path].concat()));
}

/// Its layout and its tests.
fn check(program: &Path, tests: &str) {
    take_lock_file(program);
    said(&mut cargo(program, &["fmt", "--check"]));
    assert_eq!(said(&mut cargo(program, &["build", "--quiet"])), "", "no warning");
    let text = said(&mut cargo(program, &["test"]));
    assert!(!text.contains("warning"), "{text}");
    assert!(text.contains(tests), "{text}");
}

#[test]
fn a_new_program_passes_its_tests() {
    let _alone = builds_alone();
    let above = folder();
    init(above.path(), &["night-shift"]);
    check(&above.path().join("night-shift"), "3 passed");
}

#[test]
fn a_program_that_is_there_gets_a_worker() {
    let _alone = builds_alone();
    let above = folder();
    said(&mut cargo(above.path(), &["new", "--quiet", "--vcs", "none", "mine"]));
    init(above.path(), &["--into", "mine"]);
    check(&above.path().join("mine"), "3 passed");
    let said = claude_jobs(above.path(), &["init", "--into", "mine"]).output().expect("it starts");
    assert_eq!(said.status.code(), Some(2), "the second time it is refused");
}

#[test]
fn so_does_a_library() {
    let _alone = builds_alone();
    let above = folder();
    said(&mut cargo(above.path(), &["new", "--quiet", "--vcs", "none", "--lib", "mine"]));
    init(above.path(), &["--into", "mine"]);
    // Three of ours, one that `cargo new` writes.
    check(&above.path().join("mine"), "4 passed");
}

#[test]
fn systemd_takes_the_unit() {
    let above = folder();
    init(above.path(), &["my_app"]);
    let unit = above.path().join("my_app/my_app.service");
    let text = fs::read_to_string(&unit).expect("a unit");
    for line in [
        "KillMode=mixed",
        "TimeoutStopSec=11min",
        "ExecStart=/usr/local/bin/my_app work --queue issues=2 --grace 10m",
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    // The program is not installed here.
    fs::write(&unit, text.replace("/usr/local/bin/my_app", "/bin/true")).expect("written");
    match Command::new("systemd-analyze").arg("verify").arg(&unit).output() {
        Ok(output) => assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
    }
}

/// What can be seen of an image without building it: every file that is copied is made, and every command line
/// of the program is one that it takes.
#[test]
fn the_image_starts_what_it_copies() {
    let above = folder();
    init(above.path(), &["my_app"]);
    let text = fs::read_to_string(above.path().join("my_app/Dockerfile")).expect("a Dockerfile");
    let built = "COPY --from=build /src/target/release/my_app /usr/local/bin/my_app";
    assert!(text.lines().any(|line| line == built), "{text}");
    assert!(text.contains("ENTRYPOINT [\"my_app\"]"), "{text}");
    let started = text.lines().find_map(|line| line.strip_prefix("CMD ")).expect("a command");
    let words: Vec<String> = serde_json::from_str(started).expect("a list");
    let seconds = |after: &str| {
        let word = text.split_whitespace().skip_while(|word| *word != after).nth(1).expect("it is named");
        word.trim_end_matches('s').parse::<u64>().expect("seconds")
    };
    let grace = words.iter().skip_while(|word| *word != "--grace").nth(1).expect("it is named");
    let grace = grace.trim_end_matches('s').parse::<u64>().expect("seconds");
    // The CLI, what it leaves and a handler have their time after it.
    assert!(seconds("--stop-timeout") >= grace + 3 + 2 + 10, "{text}");
    // Both commands are those that run until they are told to stop; with `--drain` they end by themselves.
    let unit = fs::read_to_string(above.path().join("my_app/my_app.service")).expect("a unit");
    let line =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/my_app ")).expect("a start");
    let of_unit: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for words in [words, of_unit] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = claude_jobs(above.path(), &words);
        said(command.arg("--drain").env("CLAUDE_JOBS_DATABASE", "sqlite://jobs.db"));
    }
    assert!(
        text.contains(&format!("@anthropic-ai/claude-code@{NEWEST_TESTED} ")),
        "the tested version: {text}"
    );
    let rust = format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(text.contains(&rust), "the oldest version that will do: {text}");
}
