//! No contents in spans, log events and metrics unless somebody asks for them.

use claude_jobs::claude::{ClaudeCli, Request, RunnerError};
use claude_jobs::prelude::*;
use claude_jobs::telemetry::{prometheus, show_contents};
use claude_jobs_tests::alone;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::script::{Step, Take};
use claude_jobs_tests::watching::Recorder;
use serde_json::json;
use sqlx::Executor;

use crate::workers::{Place, Plain, success};

/// Where a secret stands, and which field shows it when contents are shown.
const PLACES: [(&str, &str); 8] = [
    ("secret-prompt", "claude.run: claude.prompt"),
    ("secret-untrusted", "claude.run: claude.prompt"),
    ("secret-result", "claude.run: claude.result"),
    ("secret-error", "claude.run: claude.error"),
    ("secret-reason", "job.run: job.reason"),
    ("secret-panic", "event: error"),
    ("secret-refusal", "event: error"),
    ("secret-log", "event: error"),
];

/// Outside text, and a handler that quotes what it sees.
#[claude_worker(queue = "tests", max_attempts = 1, prompt = "secret-prompt {text}", args = { permission_mode = "plan" })]
struct Letter {
    #[untrusted]
    text: String,
}

impl Handler for Letter {
    async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.enqueue(Plain::new("secret-prompt of a follow-on").queue("nobody"));
        Ok(Verdict::cancel(format!("secret-reason: {text}")))
    }
}

#[test]
fn contents_are_in_no_span_log_event_or_metric() {
    if alone::inside().is_none() {
        return alone::run("telemetry::contents::contents_are_in_no_span_log_event_or_metric");
    }
    let recorder = work(false);
    assert_eq!(recorder.mentions("secret-"), Vec::<String>::new());
    // The watcher watches: the runs are there.
    assert!(recorder.spans("claude.run").len() >= 3);
}

#[test]
fn contents_are_there_for_whoever_asks() {
    if alone::inside().is_none() {
        return alone::run("telemetry::contents::contents_are_there_for_whoever_asks");
    }
    let recorder = work(true);
    for (secret, place) in PLACES {
        let mentions = recorder.mentions(secret);
        assert!(mentions.iter().any(|mention| mention.ends_with(place)), "{secret}: {mentions:?}");
    }
}

/// Jobs with secrets in every place, in a process that is watched.
fn work(shown: bool) -> Recorder {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let place = Place::new().await;
        let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON claude_jobs_runs WHEN NEW.result = 'refuse me' \
            BEGIN SELECT RAISE(ABORT, 'secret-refusal'); END";
        let refuse_log = "CREATE TRIGGER refuse_log BEFORE INSERT ON claude_jobs_log \
            WHEN NEW.event LIKE '%secret-tool-input%' BEGIN SELECT RAISE(ABORT, 'secret-log'); END";
        for trigger in [refuse, refuse_log] {
            place.connection().await.execute(trigger).await.expect("a trigger");
        }
        // Only now: the test's own statements must not be recorded.
        let recorder = Recorder::install();
        show_contents(shown);
        prometheus::render().expect("the first recorder");

        let tool = json!({ "type": "assistant", "session_id": "$SESSION_ID", "message": { "content": [
            { "type": "tool_use", "name": "Bash", "input": { "command": "echo secret-tool-input" } },
        ] } });
        let claude = FakeClaude::new([
            Take::success("secret-result").first(Step::Print(tool)),
            Take::api_error(Some(400), "invalid_request", "secret-error"),
            Take::success("refuse me"),
        ]);
        Letter::new("secret-untrusted".into()).insert(&place.queue).await.expect("valid");
        Letter::new("secret-untrusted".into()).insert(&place.queue).await.expect("valid");
        Plain::new("secret-prompt").insert(&place.queue).await.expect("valid");
        let claude = ClaudeCli::builder().binary(claude.path().to_str().expect("UTF-8")).build();
        let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1);
        runtime.claude(claude).drain().await.expect("it drains");

        Plain::new("secret-prompt").insert(&place.queue).await.expect("valid");
        place
            .drain(async |request: Request| {
                assert_eq!(request.prompt(), "none", "secret-panic");
                Ok::<_, RunnerError>(success("secret-result"))
            })
            .await;
        let states: Vec<_> = place.queue.list(&Default::default()).await.expect("a list");
        assert_eq!(states.iter().filter(|job| job.state == State::Cancelled).count(), 4, "{states:?}");
        let metrics = prometheus::render().expect("ours");
        assert!(metrics.contains("claude_jobs_settled_total") && !metrics.contains("secret-"), "{metrics}");
        recorder
    })
}
