//! The rules of the layout, enforced: which file may know what.

use std::fs;
use std::path::{Path, PathBuf};

use claude_jobs::claude::{NEWEST_TESTED, OLDEST_TESTED};

/// Every Rust file of the repository's own, relative to its root, with its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned();
    let mut files = Vec::new();
    let members = ["claude-jobs", "claude-jobs-json-schema", "claude-jobs-macros", "claude-jobs-schedule"];
    for folder in members.into_iter().chain(["examples", "tests"]) {
        collect(&root.join(folder), &mut files);
    }
    let mut sources: Vec<_> = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below the root").to_str().expect("UTF-8").to_owned();
            (name, fs::read_to_string(&path).expect("a readable file"))
        })
        .collect();
    sources.sort();
    assert!(sources.len() > 50, "the walk finds them");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("ui") && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The runtime crate's code, tests left out: comments and strings may say anything.
fn library() -> Vec<(String, String)> {
    let mut library = sources();
    library.retain(|(name, _)| name.starts_with("claude-jobs/src/") && !name.ends_with("tests.rs"));
    for (_, text) in &mut library {
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        *text = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n");
    }
    library
}

fn offenders(forbidden: &[&str], allowed: &[&str]) -> Vec<String> {
    library()
        .into_iter()
        .filter(|(name, _)| !allowed.iter().any(|place| name.contains(place)))
        .filter(|(_, text)| forbidden.iter().any(|word| text.contains(word)))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "no `//!` header: {silent:?}");
}

#[test]
fn no_file_is_over_500_lines() {
    let long: Vec<_> =
        sources().into_iter().filter(|(_, text)| text.lines().count() > 500).map(|(name, _)| name).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn sql_stays_in_the_engine() {
    // A transaction of the user's own comes in through two inherent functions; a program that `init` makes has a pool.
    let allowed = ["src/engine/", "src/queue.rs", "src/builder.rs", "src/cli/init/"];
    assert_eq!(offenders(&["sqlx"], &allowed), Vec::<String>::new());
}

#[test]
fn processes_are_started_under_claude_only() {
    let forbidden = ["process::Command", "stream_query", "fork("];
    assert_eq!(offenders(&forbidden, &["src/claude/", "src/cli/doctor"]), Vec::<String>::new());
}

#[test]
fn only_the_clock_reads_the_time() {
    let forbidden = ["Timestamp::now(", "SystemTime::now(", "Zoned::now("];
    assert_eq!(offenders(&forbidden, &["src/clock.rs"]), Vec::<String>::new());
}

#[test]
fn values_know_nothing_above_them() {
    let values = ["error.rs", "clock.rs", "job.rs", "job/", "options", "outcome", "verdict.rs", "unique.rs"];
    let policy = ["classify.rs", "settlement.rs"];
    let upper = [
        "crate::engine",
        "crate::queue",
        "crate::executor",
        "crate::runtime",
        "crate::service",
        "crate::cli",
    ];
    let below = |names: &[&str], upper: &[&str]| -> Vec<String> {
        library()
            .into_iter()
            .filter(|(name, _)| names.iter().any(|part| name.starts_with(&format!("claude-jobs/src/{part}"))))
            .filter(|(_, text)| upper.iter().any(|word| text.contains(word)))
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(below(&values, &upper), Vec::<String>::new());
    assert_eq!(below(&values, &["crate::claude::"]), Vec::<String>::new());
    assert_eq!(below(&policy, &upper), Vec::<String>::new());
    let engine = [
        "crate::queue",
        "crate::executor",
        "crate::runtime",
        "crate::service",
        "crate::cli",
        "crate::claude::",
    ];
    assert_eq!(below(&["engine"], &engine), Vec::<String>::new());
    assert_eq!(below(&["claude.rs", "claude/"], &engine[..5]), Vec::<String>::new());
}

#[test]
fn the_documentation_names_the_supported_versions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for name in ["README.md", "CHANGELOG.md", "docs/operating.md"] {
        let text = fs::read_to_string(root.join(name)).expect("a text");
        for version in [OLDEST_TESTED, NEWEST_TESTED] {
            assert!(text.contains(version), "{name} does not name {version}");
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    let marks = ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "dbg!("];
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(name, _)| !name.ends_with("tidy.rs"))
        .filter(|(_, text)| marks.iter().any(|mark| text.contains(mark)))
        .map(|(name, _)| name)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_example_of_the_documentation_is_compiled() {
    let mut texts = sources();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let guides =
        fs::read_dir(root.join("docs")).expect("the guides").map(|guide| guide.expect("a file").path());
    for guide in guides.chain([root.join("README.md")]) {
        texts.push((guide.display().to_string(), fs::read_to_string(guide).expect("a guide")));
    }
    let is_left_out = |line: &str| {
        let text = line.trim_start_matches([' ', '/', '!']);
        text.starts_with("```") && text.contains("ignore")
    };
    let offenders: Vec<_> =
        texts.iter().filter(|(_, text)| text.lines().any(is_left_out)).map(|(name, _)| name).collect();
    assert!(offenders.is_empty(), "{offenders:?}");
}
