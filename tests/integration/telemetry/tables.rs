//! The tables of the documentation and what is emitted: the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::telemetry::{EVENTS, SPANS, show_contents};
use claude_jobs_tests::alone;
use claude_jobs_tests::watching::Recorder;

use crate::workers::{Obedient, Place, Plain, recorded};

#[test]
fn the_spans_are_those_of_the_table() {
    if alone::inside().is_none() {
        return alone::run("telemetry::tables::the_spans_are_those_of_the_table");
    }
    let recorder = Recorder::install();
    show_contents(true);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let place = Place::new().await;
        let many =
            ["fail", "fail"].map(|prompt| Plain::new(prompt).model("sonnet").into_new_job().expect("valid"));
        place.queue.insert_many(many).await.expect("valid");
        Obedient::new("follow".into()).insert(&place.queue).await.expect("valid");
        place
            .drain(async |request: Request| {
                let scenario = if request.prompt() == "fail" { "overloaded" } else { "success" };
                Ok::<_, RunnerError>(recorded(scenario))
            })
            .await;
    });

    let mut filled: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for seen in recorder.seen() {
        if seen.name == "event" || !seen.target.starts_with("claude_jobs") {
            continue;
        }
        let row = SPANS.iter().find(|row| row.name == seen.name).unwrap_or_else(|| panic!("{seen:?}"));
        assert_eq!((seen.level, &seen.declared[..]), (row.level, row.fields), "{}", row.name);
        assert!(seen.is_over, "{seen:?}");
        filled.entry(row.name).or_default().extend(seen.fields.keys());
        let around = match row.name {
            "claude.run" | "job.settle" => Some("job.run"),
            _ => None,
        };
        assert_eq!(seen.parent, around, "{}", row.name);
    }
    for row in SPANS {
        let fields: BTreeSet<_> = row.fields.iter().copied().collect();
        let filled = filled.remove(row.name).unwrap_or_default();
        let empty: Vec<_> = fields.difference(&filled).copied().collect();
        let expected: &[&str] = match row.name {
            // Nothing went wrong there.
            "job.insert" | "job.claim" | "job.settle" => &["otel.status_code"],
            _ => &[],
        };
        assert_eq!(empty, expected, "{}", row.name);
    }
}

/// Every call of a logging macro, as the sources have it.
#[test]
fn the_log_events_are_those_of_the_table() {
    let mut found: Vec<_> = sources().iter().flat_map(|(_, text)| calls(text)).collect();
    let mut table: Vec<_> = EVENTS
        .iter()
        .map(|row| {
            let fields = row.fields.iter().map(|field| (*field).to_owned()).collect();
            (row.level.to_string().to_lowercase(), row.message.to_owned(), fields)
        })
        .collect();
    found.sort();
    table.sort();
    assert_eq!(found, table);
}

#[test]
fn spans_are_made_in_one_file() {
    let makers = ["_span!(", "span!(", "instrument]", "instrument("];
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| makers.iter().any(|maker| text.replace(".instrument(", "").contains(maker)))
        .map(|(path, _)| path.file_name().expect("a file").to_owned())
        .collect();
    assert_eq!(found, ["spans.rs"]);
}

/// The library's sources without their tests and comments.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("claude-jobs/src");
    collect(&root, &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path, code.join("\n"))
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// Level, message and fields of each call in a source.
fn calls(text: &str) -> Vec<(String, String, Vec<String>)> {
    let levels = ["error", "warn", "info", "debug", "trace"];
    let starts = levels.into_iter().flat_map(|level| {
        let start = format!("tracing::{level}!(");
        text.match_indices(&start).map(move |(at, start)| (level, at + start.len())).collect::<Vec<_>>()
    });
    starts
        .map(|(level, from)| {
            let mut parts = arguments(&text[from..]);
            let message = parts.pop().expect("a message");
            let message = message.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            let message = message.unwrap_or_else(|| panic!("the message comes last: {parts:?}"));
            let field = |part: &String| {
                let name = part.split('=').next().unwrap_or_default();
                name.trim().trim_start_matches(['%', '?']).to_owned()
            };
            (level.to_owned(), message.to_owned(), parts.iter().map(field).collect())
        })
        .collect()
}

/// The arguments of a call, from behind its parenthesis on.
fn arguments(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut is_quoted) = (Vec::new(), String::new(), 0, false);
    for character in text.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' if !is_quoted && depth == 0 => break,
            ')' | ']' | '}' if !is_quoted => depth -= 1,
            ',' if !is_quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part.trim().to_owned());
    parts.retain(|part| !part.is_empty());
    parts
}
