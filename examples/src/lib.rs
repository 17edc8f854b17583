//! What the examples share: a throwaway database, and a claude that is scripted, or the real one with
//! `--live`.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use claude_jobs::claude::{Claude, ClaudeCli, Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What an example ends with.
pub type Outcome = Result<(), Box<dyn Error>>;

/// The argument that gives the part to the real claude.
const LIVE: &str = "--live";

/// Whether the real claude shall play, with your login and for your money.
pub fn is_live() -> bool {
    std::env::args().any(|argument| argument == LIVE)
}

/// A throwaway database, and a throwaway git repository for agents to work in.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
    /// The queue in that database.
    pub queue: Queue,
}

impl Stage {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When an argument is not `--live`; when the folder, the repository or the database cannot be made.
    pub async fn new() -> Result<Self, Box<dyn Error>> {
        if let Some(unknown) = std::env::args().skip(1).find(|argument| argument != LIVE) {
            return Err(format!("unknown argument `{unknown}`: an example takes `{LIVE}` or nothing").into());
        }
        let folder = tempfile::tempdir()?;
        if is_live() {
            make_repository(folder.path())?;
        }
        let queue = Queue::connect(&database_in(folder.path())).await?;
        Ok(Self { folder, queue })
    }

    /// The same with a clock of the example's own.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { queue: self.queue.with_clock(clock), ..self }
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        database_in(self.folder.path())
    }

    /// A runtime on it whose agents work in its folder.
    pub fn runtime<C: Claude + 'static>(&self, script: C) -> claude_jobs::runtime::RuntimeBuilder {
        let folder = self.folder.path().display().to_string();
        Runtime::builder(self.queue.clone()).args(ArgMap::new().working_dir(folder)).claude(cast(script))
    }
}

fn database_in(folder: &Path) -> String {
    format!("sqlite://{}/example.db", folder.display())
}

fn make_repository(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::write(folder.join("README.md"), "# A project to play with\n")?;
    let me = ["-c", "user.name=example", "-c", "user.email=example@localhost"];
    for arguments in [&["init", "-q"][..], &["add", "README.md"], &["commit", "-q", "-m", "Begin"]] {
        let status = Command::new("git").args(me).args(arguments).current_dir(folder).status()?;
        if !status.success() {
            return Err(format!("git {} failed", arguments.join(" ")).into());
        }
    }
    Ok(())
}

/// Who plays claude.
fn cast<C: Claude + 'static>(script: C) -> Player {
    Player(if is_live() { Arc::new(ClaudeCli::default()) } else { Arc::new(script) })
}

struct Player(Arc<dyn Claude>);

#[async_trait]
impl Claude for Player {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        self.0.run(request).await
    }
}

/// An answer in words.
pub fn answer(text: &str) -> Report {
    result(json!({ "result": text }))
}

/// An answer by the schema that was asked for.
pub fn structured(value: &Value) -> Report {
    result(json!({ "result": value.to_string(), "structured_output": value }))
}

/// A successful run as the CLI reports it, with these fields.
pub fn result(fields: Value) -> Report {
    let mut event = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 1,
        "session_id": "5e551011-0000-4000-8000-000000000001",
        "model_usage_since_last_result": {"sonnet": {"costUSD": 0.04, "inputTokens": 900, "outputTokens": 60}},
    });
    if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
        event.extend(fields);
    }
    Report::from_events([&event], 0)
}
