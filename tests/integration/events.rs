//! The events of the fleet, and the logs of runs: from other connections, on both databases.

use std::sync::Arc;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::event::{LogEntry, Progress};
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs_tests::postgres::{Database, database};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::workers::success;

mod fleet;
mod log;

/// A database of its own, of either kind.
enum Site {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Site {
    fn sqlite() -> Site {
        Site::Sqlite(tempfile::tempdir().expect("a temporary folder"))
    }

    fn postgres() -> Site {
        Site::Postgres(database())
    }

    /// With connections of its own each time.
    async fn queue(&self) -> Queue {
        let url = match self {
            Site::Sqlite(folder) => format!("sqlite://{}/jobs.db", folder.path().display()),
            Site::Postgres(database) => database.url(),
        };
        Queue::connect(&url).await.expect("a database")
    }
}

/// The agent says this.
fn says(text: &str) -> Value {
    json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}})
}

/// A runner whose claude prints this and succeeds.
fn printing(
    events: Vec<Value>,
) -> impl Fn(Request) -> std::future::Ready<Result<Report, RunnerError>> + Send + Sync + 'static {
    let events = Arc::new(events);
    move |request: Request| {
        print(&request, &events);
        std::future::ready(Ok(success("fine")))
    }
}

fn print(request: &Request, events: &[Value]) {
    let observer = request.observer.as_ref().expect("a queue's runs are observed");
    events.iter().for_each(|event| observer(event));
}

/// The texts of a log; what is no text by its name.
fn texts(log: &[LogEntry]) -> Vec<String> {
    let shown = |entry: &LogEntry| match &entry.progress {
        Progress::Text { text, .. } => text.to_string(),
        other => serde_json::to_value(other).expect("JSON")["kind"].to_string(),
    };
    log.iter().map(shown).collect()
}
