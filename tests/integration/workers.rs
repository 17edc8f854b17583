//! The workers that the tests of queue and runtime use, and a runner that answers without a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::outcome::{Ending, Report};
use claude_jobs::prelude::*;
use claude_jobs::{Inserted, claude_worker};
use claude_jobs_tests::transcript::Transcript;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The job carries everything.
#[claude_worker(queue = "tests", max_attempts = 3)]
pub(crate) struct Plain;

/// Unique for a minute.
#[claude_worker(queue = "tests", unique_period = 60)]
pub(crate) struct Once;

/// Its handler does what its field says.
#[claude_worker(queue = "tests", prompt = "do it")]
pub(crate) struct Obedient {
    #[allow(unused)]
    pub(crate) order: String,
}

impl Handler for Obedient {
    async fn handle_result(&self, text: String, run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        assert_eq!(text, run.text());
        let attempt = cx.attempt();
        cx.meta().insert("seen".into(), json!(attempt));
        match self.order.as_str() {
            "follow" => cx.enqueue(Plain::new("the follow-on").priority(2)),
            "follow last" => cx.enqueue(Plain::new("the follow-on").priority(9)),
            "follow elsewhere" => cx.enqueue(Obedient::new("follow".into()).queue("elsewhere")),
            "follow badly" => cx.enqueue(Plain::new("the follow-on").max_turns(0)),
            "cancel" => return Ok(Verdict::cancel("as ordered")),
            "retry" => return Ok(Verdict::retry("as ordered")),
            "fail" => Err(std::io::Error::other("as ordered"))?,
            "panic" => panic!("as ordered"),
            "hang" => std::future::pending().await,
            "wait for the end" => cx.cancellation().clone().cancelled().await,
            _ => {}
        }
        Ok(Verdict::Complete)
    }

    async fn handle_error(
        &self,
        verdict: Verdict,
        failure: &Failure,
        _: &Run,
        cx: &mut Ctx,
    ) -> Result<Verdict> {
        Ok(match self.order.as_str() {
            "look" => Verdict::cancel(format!("asked to end: {}", cx.cancellation().is_cancelled())),
            "forgive" => Verdict::Complete,
            "explain" => Verdict::cancel(format!("{} after {}", failure.kind.name(), verdict.name())),
            _ => verdict,
        })
    }
}

/// A runner whose sessions are on a host of that name.
pub(crate) struct On<C>(pub(crate) &'static str, pub(crate) C);

#[async_trait]
impl<C: Claude> Claude for On<C> {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        self.1.run(request).await
    }

    fn session_host(&self) -> String {
        self.0.to_owned()
    }
}

/// A queue in a file of its own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) queue: Queue,
}

impl Place {
    pub(crate) async fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let queue = Queue::connect(&url(&folder)).await.expect("a new database");
        Place { folder, queue }
    }

    pub(crate) fn url(&self) -> String {
        url(&self.folder)
    }

    /// A connection of the user's own to the same file.
    pub(crate) async fn connection(&self) -> sqlx::SqliteConnection {
        use sqlx::Connection;
        sqlx::SqliteConnection::connect(&self.url()).await.expect("the database is there")
    }

    /// Runs what is due with this runner.
    pub(crate) async fn drain(&self, claude: impl Claude + 'static) {
        Runtime::builder(self.queue.clone())
            .queue("tests", 4)
            .claude(claude)
            .drain()
            .await
            .expect("it drains");
    }

    /// The job as it is now.
    pub(crate) async fn job(&self, inserted: &Inserted) -> Job {
        self.queue.get(inserted.id()).await.expect("a read").expect("the job is there")
    }
}

fn url(folder: &TempDir) -> String {
    format!("sqlite://{}", folder.path().join("jobs.db").display())
}

/// What the real CLI printed in a recorded scenario.
pub(crate) fn recorded(name: &str) -> Report {
    let transcript = Transcript::load(name);
    let mut report = Report::from_events(&transcript.events(), transcript.entry.exit.unwrap_or(0));
    report.stderr = transcript.stderr;
    if transcript.entry.exit.is_none() {
        report.ending = Ending::Signalled(None);
    }
    report
}

/// A runner that answers every run with the recorded scenario, and counts.
pub(crate) fn answering(name: &'static str) -> (impl Claude + 'static, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&runs);
    let claude = move |_: Request| {
        counter.fetch_add(1, Ordering::SeqCst);
        let report = recorded(name);
        async move { Ok::<_, RunnerError>(report) }
    };
    (claude, runs)
}

/// A runner that runs until it is stopped.
pub(crate) async fn until_stopped(request: Request) -> Result<Report, RunnerError> {
    let mut report = Report::new(request.pinned_session().map(str::to_owned));
    report.ending = Ending::Stopped(request.stop.fired().await);
    Ok(report)
}

/// A success with this text.
pub(crate) fn success(text: &str) -> Report {
    let event: Value = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": text,
        "session_id": "0199f1de-0000-7000-8000-0123456789ab",
        "model_usage_since_last_result": {"model": {"costUSD": 0.25, "inputTokens": 3, "outputTokens": 4}},
    });
    Report::from_events([&event], 0)
}
