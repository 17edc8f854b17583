//! Runs as they once were: recorded transcripts of the real CLI, and the record and replay of runs.

use std::path::PathBuf;

use claude_jobs::FailureKind::Overloaded;
use claude_jobs::claude::{Claude, ClaudeCli, Request};
use claude_jobs::options::Options;
use claude_jobs::outcome::{Report, judge};
use claude_jobs::prelude::*;
use claude_jobs::testing::{
    self, ScriptedClaude, ask, drain, events_from, fail, perform, record, replay, respond, sequence,
    structured,
};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Step, Take};
use claude_jobs_tests::transcript::Transcript;
use serde_json::json;

use super::{Anything, Review};

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.jsonl");
    (folder, path)
}

/// Each transcript of the real CLI: played from its file, a run comes to what it came to.
#[tokio::test]
async fn a_transcript_of_the_real_cli_is_played() -> claude_jobs::Result<()> {
    for transcript in Transcript::all() {
        let name = &transcript.label();
        let events = transcript.events();
        if events.is_empty() {
            let error = events_from(transcript.path()).expect_err(name).to_string();
            assert!(error.ends_with("it holds no event"), "{error}");
            continue;
        }
        let mut answer = events_from(transcript.path())?.stderr(&transcript.stderr);
        // Where a signal ended the run, nothing in the events says so.
        let Some(exit) = transcript.entry.exit else { continue };
        if exit == 143 {
            answer = answer.exit(exit);
        }
        let mut report = Report::from_events(&events, exit);
        report.stderr = transcript.stderr.clone();
        let expected = judge(report, &Options::default());
        let run = perform(Anything::new("x"), answer).await?.run;
        assert_eq!(run.outcome_name(), expected.outcome_name(), "{name}");
        assert_eq!(
            (run.cost_usd, run.turns, &run.text),
            (expected.cost_usd, expected.turns, &expected.text),
            "{name}"
        );
        assert_eq!(
            (&run.ending, run.tokens, &run.model),
            (&expected.ending, expected.tokens, &expected.model),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_transcript_speaks_of_the_run_in_which_it_is_played() -> claude_jobs::Result<()> {
    let played = || events_from(Transcript::load("tool_use").path());
    let done = perform(Anything::new("x"), played()?).await?;
    assert_eq!(done.run.session_id, done.requests[0].session_id, "not the recorded one");
    let done = perform(Anything::new("x"), played()?.cost(2.5).turns(9).session("s")).await?;
    assert_eq!((done.run.cost_usd, done.run.turns), (Some(2.5), Some(9)));
    assert_eq!(done.run.session_id.as_deref(), Some("s"));
    assert!(done.run.tokens.is_some_and(|tokens| tokens.input > 0), "as recorded");
    Ok(())
}

/// Runs of a process, recorded and replayed: the queue cannot tell the difference.
#[tokio::test]
async fn runs_of_a_process_are_recorded_and_replayed() -> claude_jobs::Result<()> {
    let fake = FakeClaude::new([
        Take::replay("overloaded"),
        Take::success("No findings.").costing(0.4).first(Step::Stderr("a warning\n".into())),
    ]);
    let cli = ClaudeCli::builder().binary(fake.path().display().to_string()).build();
    let (_folder, path) = file();
    let play = async |claude: ScriptedClaude| {
        let queue = testing::queue().await?;
        Review::new(87).insert(&queue).await?;
        let drained = drain(&queue, &claude).through_time().await?;
        let seen = |run: &testing::DrainedRun| {
            let ledger = &run.run;
            (
                ledger.outcome.clone(),
                ledger.ending.clone(),
                ledger.cost_usd,
                ledger.turns,
                ledger.tokens,
                ledger.result.clone(),
                ledger.last_events.clone(),
            )
        };
        Ok::<_, claude_jobs::Error>(drained.runs.iter().map(seen).collect::<Vec<_>>())
    };
    let recorded = play(ask(record(&path, cli)).into()).await?;
    assert_eq!(recorded.iter().map(|run| run.0.as_str()).collect::<Vec<_>>(), ["overloaded", "success"]);
    let replayed = play(replay(&path)?.into()).await?;
    assert_eq!(recorded, replayed);
    assert_eq!(fake.records().len(), 2, "the second time nobody ran it");
    Ok(())
}

#[tokio::test]
async fn every_way_to_end_is_recorded() -> claude_jobs::Result<()> {
    use claude_jobs::FailureKind::{self, *};
    let kinds = [Timeout, Killed, BinaryMissing, Io, CommandFailed, Runner, MaxBudget, NotAGitRepository];
    let (_folder, path) = file();
    let script = sequence(kinds.map(fail));
    let recorder = record(&path, ScriptedClaude::new(script.then(structured(json!({"answer": 42})))));
    let recorder = ScriptedClaude::new(ask(recorder));
    for _ in 0..=kinds.len() {
        perform(Anything::new("x"), &recorder).await?;
    }
    let replayed = ScriptedClaude::new(replay(&path)?);
    for kind in kinds {
        let kind: FailureKind = kind;
        assert_eq!(perform(Anything::new("x"), &replayed).await?.run.outcome_name(), kind.name());
    }
    let last = perform(Anything::new("x"), &replayed).await?;
    assert_eq!(last.run.structured(), Some(&json!({"answer": 42})));
    perform(Anything::new("x"), &replayed).await.expect_err("there are no more");
    Ok(())
}

#[tokio::test]
async fn no_secret_is_recorded() -> claude_jobs::Result<()> {
    let (_folder, path) = file();
    let key = format!("sk-ant-api03-{}", "aB3_".repeat(8));
    let tool = json!({"type": "assistant", "message": {"content": [
        {"type": "tool_use", "name": "Bash", "input": {"command": format!("curl -H 'x-api-key: {key}'")}},
    ]}});
    let answer = respond("The password is hunter2hunter2.").event(tool).stderr(format!("Bearer {key}"));
    let claude = ScriptedClaude::new(ask(record(&path, ScriptedClaude::new(answer)).hide("hunter2hunter2")));
    let prompt = "a prompt that nobody should read";
    let seen = perform(Anything::new(prompt), &claude).await?;
    assert_eq!(seen.run.text(), "The password is hunter2hunter2.", "the run itself is as it was");
    let text = std::fs::read_to_string(&path).expect("the recording");
    for secret in [&*key, "hunter2", prompt] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("x-api-key: [secret]"), "{text}");
    assert_eq!(perform(Anything::new("x"), replay(&path)?).await?.run.text(), "The password is [secret].");
    Ok(())
}

#[tokio::test]
async fn the_first_run_replaces_an_old_recording() -> claude_jobs::Result<()> {
    let (folder, path) = file();
    for answer in [respond("old"), respond("new")] {
        perform(Anything::new("x"), ask(record(&path, ScriptedClaude::new(answer)))).await?;
    }
    assert_eq!(perform(Anything::new("x"), replay(&path)?).await?.run.text(), "new");
    // Where it cannot be written, nobody is asked: it would cost money for nothing.
    let claude = ScriptedClaude::new(fail(Overloaded));
    let nowhere = record(folder.path().join("no/folder/run.jsonl"), claude.clone());
    let mut args = ArgMap::new().prompt("x");
    args.set("model", json!("sonnet"));
    let request = Request::new(Options::merge([&args])?);
    let error = nowhere.run(request).await.expect_err("no such folder").to_string();
    assert!(error.contains("no/folder/run.jsonl") && claude.requests().is_empty(), "{error}");
    Ok(())
}
