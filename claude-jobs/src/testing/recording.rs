//! Recordings of runs: [`record`](record()) writes one, [`replay`] plays it again.
//!
//! A recording is a JSONL file: the events of a run as they were printed, then a line that says how the
//! run ended; and so on for the next run. Secrets are taken out before anything is written.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answer, Does};
use super::played::Played;
use super::script::{Script, sequence};
use crate::claude::{Claude, Request, RunnerError};
use crate::error::{Error, Result};
use crate::outcome::{Ending, Report};
use crate::secrets::Secrets;

/// What tells the line that ends a run from an event.
const END: &str = "claude_jobs_run";

/// How a run ended, as the last line of its recording says it.
#[derive(Serialize, Deserialize)]
struct End {
    ending: Ending,
    stderr: String,
}

/// Runs that another claude makes, written down for [`replay`]. It is itself a claude.
///
/// Made by [`record`](record()).
#[derive(Debug)]
pub struct Recorder<C> {
    claude: C,
    path: PathBuf,
    secrets: Secrets,
    /// Whether the file is ours already. Held while it is written, so that runs do not mix.
    has_begun: Mutex<bool>,
}

/// Writes every run of this claude to a file: its events, how it ended, its standard error. The first run
/// replaces what was there.
///
/// What looks like a secret is not written: values of environment variables whose names say that they are
/// secret (`…KEY`, `…TOKEN`, `…SECRET`, `…PASSWORD`, `…CREDENTIAL…`, `…AUTH…`), keys and tokens in the
/// known forms (`sk-…`, `ghp_…`, `Bearer …`, …), passwords in URLs, and what [`hide`](Recorder::hide) is
/// given. The home folder becomes `~`. The prompt is not part of a recording; what the agent read and
/// said is. So look at a recording before it is committed.
///
/// ```no_run
/// # use claude_jobs::testing::{self, ask, drain, record, replay};
/// # use claude_jobs::prelude::*;
/// # use claude_jobs::claude::ClaudeCli;
/// # async fn example() -> claude_jobs::Result<()> {
/// # let queue = testing::queue().await?;
/// // Once, with the real CLI:
/// drain(&queue, ask(record("tests/recordings/review.jsonl", ClaudeCli::default()))).await?;
/// // From then on, without it:
/// drain(&queue, replay("tests/recordings/review.jsonl")?).await?;
/// # Ok(()) }
/// ```
pub fn record<C: Claude>(path: impl Into<PathBuf>, claude: C) -> Recorder<C> {
    Recorder { claude, path: path.into(), secrets: Secrets::of_this_process(), has_begun: Mutex::new(false) }
}

/// The runs of a recording, one after the other, each under the session that it is asked for. A file
/// that holds only events, as the CLI prints them, is one run.
///
/// # Errors
///
/// [`Error::Recording`] when the file cannot be read, a line is no JSON object, or there is no run in it.
pub fn replay(path: impl AsRef<Path>) -> Result<Script> {
    let path = path.as_ref();
    let runs = read(path)?;
    if runs.is_empty() {
        return Err(problem(path, "it holds no run"));
    }
    Ok(sequence(runs.into_iter().map(|run| Answer::new(Does::Play(Arc::new(run))))))
}

/// A file of events without an end.
pub(super) fn transcript(path: &Path) -> Result<Played> {
    let mut runs = read(path)?;
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (None, _) => Err(problem(path, "it holds no event")),
        (Some(_), false) => Err(problem(path, "it holds several runs: use `replay`")),
    }
}

impl<C> Recorder<C> {
    /// Also keeps this out of the file. An empty text is nothing to hide.
    #[must_use]
    pub fn hide(mut self, secret: impl Into<String>) -> Self {
        self.secrets.add(secret.into());
        self
    }

    fn write(&self, events: &[Value], end: &End) -> Result<()> {
        let end = serde_json::to_value(end).map_err(|error| problem(&self.path, &error.to_string()))?;
        let mut text = String::new();
        for mut line in events.iter().cloned().chain([json!({ END: end })]) {
            self.secrets.hide_in(&mut line);
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let _one_at_a_time = self.begin()?;
        let appended = fs::OpenOptions::new().append(true).open(&self.path);
        let written = appended.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| problem(&self.path, &error.to_string()))
    }

    /// Empties the file before the first run: one that cannot be written shall fail before a run costs
    /// anything.
    fn begin(&self) -> Result<MutexGuard<'_, bool>> {
        let mut has_begun = self.has_begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !*has_begun {
            fs::write(&self.path, "").map_err(|error| problem(&self.path, &error.to_string()))?;
            *has_begun = true;
        }
        Ok(has_begun)
    }
}

#[async_trait]
impl<C: Claude> Claude for Recorder<C> {
    async fn run(&self, mut request: Request) -> Result<Report, RunnerError> {
        drop(self.begin()?);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (watcher, copy) = (request.observer.take(), Arc::clone(&seen));
        request.observer = Some(Arc::new(move |event| {
            copy.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
            if let Some(watcher) = &watcher {
                watcher(event);
            }
        }));
        let report = self.claude.run(request).await;
        let events = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let end = match &report {
            Ok(report) => {
                let (reported, shown) = (report.events, events.len());
                if reported != shown as u64 {
                    let text = format!("the runner reports {reported} events and has shown {shown}");
                    return Err(problem(&self.path, &text).into());
                }
                End { ending: report.ending.clone(), stderr: report.stderr.clone() }
            }
            Err(error) => End { ending: Ending::Custom(error.to_string()), stderr: String::new() },
        };
        self.write(&events, &end)?;
        report
    }
}

fn read(path: &Path) -> Result<Vec<Played>> {
    let text = fs::read_to_string(path).map_err(|error| problem(path, &error.to_string()))?;
    let (mut runs, mut events) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let bad = |what: &str| problem(path, &format!("line {number}: {what}"));
        let mut event: Value =
            serde_json::from_str(line).map_err(|error| bad(&format!("not JSON ({error})")))?;
        let Some(fields) = event.as_object_mut() else { return Err(bad("not a JSON object")) };
        match fields.remove(END) {
            None => events.push(event),
            Some(end) => {
                let end = End::deserialize(end).map_err(|error| bad(&error.to_string()))?;
                let End { ending, stderr } = end;
                runs.push(Played { events: std::mem::take(&mut events), ending, stderr });
            }
        }
    }
    if !events.is_empty() {
        runs.push(Played { ending: Ending::Exited(exit_code(&events)), events, stderr: String::new() });
    }
    Ok(runs)
}

/// The code that the CLI exits with after these: 1 for an error, save where it was interrupted.
fn exit_code(events: &[Value]) -> i32 {
    let last = events.iter().rev().find(|event| event["type"] == "result");
    let is_error = |result: &Value| {
        let reason = result["terminal_reason"].as_str().unwrap_or_default();
        result["is_error"] == true && !reason.starts_with("aborted")
    };
    i32::from(last.is_some_and(is_error))
}

fn problem(path: &Path, problem: &str) -> Error {
    Error::Recording { path: path.display().to_string(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run.jsonl");
        fs::write(&path, text).expect("a file");
        (folder, path)
    }

    #[test]
    fn what_is_no_recording_is_refused_with_the_line() {
        let table = [
            ("", "it holds no run"),
            ("{\"type\":\"system\"}\nnot json\n", "line 2: not JSON"),
            ("[1]\n", "line 1: not a JSON object"),
            ("{\"claude_jobs_run\":{\"ending\":\"nonsense\"}}\n", "line 1: unknown variant `nonsense`"),
        ];
        for (text, expected) in table {
            let (_folder, path) = file(text);
            let error = replay(&path).expect_err(text).to_string();
            assert!(error.contains(expected) && error.contains("run.jsonl"), "{error}");
        }
        let error = replay("/nonexistent/run.jsonl").expect_err("no file").to_string();
        assert!(error.starts_with("recording `/nonexistent/run.jsonl`: No such file"), "{error}");
    }

    #[test]
    fn a_file_of_several_runs_is_no_single_answer() {
        let end = "{\"claude_jobs_run\":{\"ending\":{\"exited\":0},\"stderr\":\"\"}}\n";
        let (_folder, path) = file(&end.repeat(2));
        assert_eq!(read(&path).expect("two runs").len(), 2);
        let error = transcript(&path).expect_err("two runs").to_string();
        assert!(error.contains("several runs: use `replay`"), "{error}");
    }

    #[test]
    fn the_exit_code_follows_from_the_last_result() {
        for (is_error, code) in [(false, 0), (true, 1)] {
            let (_folder, path) = file(&json!({"type": "result", "is_error": is_error}).to_string());
            assert_eq!(transcript(&path).expect("an event").ending, Ending::Exited(code));
        }
    }
}
