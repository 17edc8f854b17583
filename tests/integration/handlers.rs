//! What classifier and handler are asked and told, and what becomes of an answer that waits for its handler.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs::{FailureKind, Outcome};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::workers::{On, Place, recorded, success};

/// Takes no answer for granted: what says nothing of the matter is run again.
fn demanding(run: &Run) -> Verdict {
    match run.outcome() {
        Outcome::Success if run.text().contains("done") => Verdict::Complete,
        Outcome::Success => Verdict::cancel("the answer is beside the matter"),
        Outcome::Failure(_) => claude_jobs::classify::default(run),
    }
}

#[claude_worker(name = "handlers.judged", queue = "tests", classifier = demanding)]
struct Judged;

#[claude_worker(name = "handlers.handled", queue = "tests", classifier = demanding)]
struct Handled;

impl Handler for Handled {
    async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.meta().insert("handled".into(), json!(true));
        Ok(Verdict::Complete)
    }
}

/// A classifier judges successes too, in the queue as in `claude_jobs::run`; the handler is asked where it agrees.
#[tokio::test]
async fn a_classifier_judges_successes_too() {
    let place = Place::new().await;
    let bare = Judged::new("x").insert(&place.queue).await.expect("valid");
    let handled = Handled::new("x").insert(&place.queue).await.expect("valid");
    let right = Handled::new("right").insert(&place.queue).await.expect("valid");
    let claude = |request: Request| async move {
        let text = if request.prompt() == "right" { "done" } else { "a poem" };
        Ok::<_, RunnerError>(success(text))
    };
    place.drain(claude).await;
    for job in [bare, handled] {
        let job = place.job(&job).await;
        let reason = job.reason.as_deref();
        assert_eq!((job.state, reason), (State::Cancelled, Some("the answer is beside the matter")));
        assert!(job.meta.is_empty(), "its handler was not asked");
    }
    let right = place.job(&right).await;
    assert_eq!((right.state, &right.meta["handled"]), (State::Completed, &json!(true)));

    let options = claude_jobs::RunOptions::default().claude(claude);
    let options = {
        let mut options = options;
        options.classifier = demanding;
        options
    };
    let (_, verdict) = claude_jobs::run(ArgMap::new().prompt("x"), options).await.expect("valid");
    assert_eq!(verdict, Verdict::cancel("the answer is beside the matter"));
}

/// Goes on in the session of a run that a rail has stopped.
#[claude_worker(name = "handlers.persistent", queue = "tests", max_attempts = 2)]
struct Persistent;

impl Handler for Persistent {
    async fn handle_error(
        &self,
        verdict: Verdict,
        failure: &Failure,
        run: &Run,
        cx: &mut Ctx,
    ) -> Result<Verdict> {
        cx.meta().insert("told".into(), json!([failure.kind.name(), run.session_id, run.cost_usd]));
        Ok(match failure.kind {
            FailureKind::MaxTurns => Verdict::resume("Finish what you were at."),
            _ => verdict,
        })
    }
}

fn asked(reports: impl IntoIterator<Item = Report>) -> (impl Claude + 'static, Arc<Mutex<Vec<Request>>>) {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, reports) = (Arc::clone(&requests), Mutex::new(reports.into_iter().collect::<Vec<_>>()));
    let claude = move |request: Request| {
        let mut reports = reports.lock().expect("no panic");
        let report = if reports.len() > 1 { reports.remove(0) } else { reports[0].clone() };
        seen.lock().expect("no panic").push(request);
        async move { Ok::<_, RunnerError>(report) }
    };
    (claude, requests)
}

#[tokio::test]
async fn a_handler_of_errors_gets_the_run_and_may_go_on_in_it() {
    let place = Place::new().await;
    let job = Persistent::new("x").insert(&place.queue).await.expect("valid");
    let (claude, requests) = asked([recorded("max_turns"), success("done")]);
    place.drain(claude).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.runs.len()), (State::Completed, 2), "{:?}", details.job.reason);
    let session = details.runs[0].session_id.clone();
    let told = details.job.meta["told"].clone();
    assert_eq!((&told[0], &told[1]), (&json!("max_turns"), &json!(session)));
    assert!(told[2].as_f64().is_some_and(|cost| cost > 0.0), "{told}");
    let second = requests.lock().expect("no panic")[1].clone();
    assert_eq!((&second.options.resume, second.prompt()), (&session, "Finish what you were at."));

    // It is bounded: each time counts.
    let job = Persistent::new("x").insert(&place.queue).await.expect("valid");
    place.drain(asked([recorded("max_turns")]).0).await;
    let over = place.job(&job).await;
    assert_eq!((over.state, over.attempt), (State::Discarded, 2));
}

/// A job whose options cannot run is told to its handler, and claude is not asked.
#[tokio::test]
async fn a_handler_is_told_of_options_that_cannot_run() {
    let place = Place::new().await;
    let job = Persistent::new("x").insert(&place.queue).await.expect("valid");
    sqlx::query(r#"UPDATE claude_jobs SET args = '{"prompt": "x", "max_turns": -7}'"#)
        .execute(&mut place.connection().await)
        .await
        .expect("it is there");
    let (claude, requests) = asked([success("done")]);
    place.drain(claude).await;
    let job = place.job(&job).await;
    assert_eq!((job.state, &job.meta["told"]), (State::Cancelled, &json!(["invalid_args", null, 0.0])));
    assert!(job.reason.is_some_and(|reason| reason.starts_with("invalid_args: ")));
    assert!(requests.lock().expect("no panic").is_empty());
}

/// An output whose own code cannot take what the schema allows.
#[derive(Debug, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
struct Brittle {
    #[allow(dead_code)]
    text: String,
}

impl<'de> serde::Deserialize<'de> for Brittle {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _ = Value::deserialize(deserializer)?;
        panic!("as ordered")
    }
}

#[claude_worker(name = "handlers.typed", queue = "tests", output = Brittle, prompt = "Say it.", max_handler_attempts = 1)]
struct Typed;

impl Handler for Typed {
    async fn handle_result(&self, _: Brittle, _: &Run, _: &mut Ctx) -> Result<Verdict> {
        Ok(Verdict::Complete)
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_without_a_panic_is_a_failed_handler() {
    let place = Place::new().await;
    let job = Typed::new().insert(&place.queue).await.expect("valid");
    let event = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 2, "result": "text",
        "session_id": "s", "structured_output": {"text": "x"},
    });
    let (claude, requests) = asked([Report::from_events([&event], 0)]);
    place.drain(claude).await;
    let job = place.job(&job).await;
    assert_eq!(
        (job.state, job.reason.as_deref()),
        (State::Discarded, Some("handler: it panicked: as ordered"))
    );
    assert_eq!(requests.lock().expect("no panic").len(), 1, "claude is paid once");
}

static TRIES: AtomicU32 = AtomicU32::new(0);

/// Counts how often it is asked.
#[claude_worker(name = "handlers.counting", queue = "tests", max_attempts = 1)]
struct Counting;

impl Handler for Counting {
    async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        TRIES.fetch_add(1, Ordering::SeqCst);
        assert_eq!((text.as_str(), cx.answer_key()), ("done", (cx.job().id, 1)));
        Ok(Verdict::Complete)
    }
}

/// The process has died in the handler: only the handler runs again, with the stored answer, whatever the worker says of
/// attempts; what the lost attempt has cost is known.
#[tokio::test]
async fn a_process_that_dies_in_the_handler_has_paid_once() {
    let place = Place::new().await;
    let job = Counting::new("x").insert(&place.queue).await.expect("valid");
    let (claude, _) = asked([success("done")]);
    place.drain(claude).await;
    assert_eq!(TRIES.load(Ordering::SeqCst), 1);
    // As it is when the answer is stored, and nothing settled.
    let mut connection = place.connection().await;
    for sql in [
        "UPDATE claude_jobs SET state = 'executing', node = 'gone', finished_at = NULL",
        "DELETE FROM claude_jobs_runs",
    ] {
        sqlx::query(sql).execute(&mut connection).await.expect("it is there");
    }
    let (claude, requests) = asked([success("never")]);
    let is_over = async {
        while !place.job(&job).await.state.is_final() {
            sqlx::query("UPDATE claude_jobs SET scheduled_at = 0 WHERE state = 'retryable'")
                .execute(&mut connection)
                .await
                .expect("it is there");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .claude(claude)
        .run_until(is_over)
        .await
        .expect("it runs");
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.counted_attempts()), (State::Completed, 1), "{details:#?}");
    assert_eq!((TRIES.load(Ordering::SeqCst), requests.lock().expect("no panic").len()), (2, 0));
    let [lost, handled] = &details.runs[..] else { panic!("{:#?}", details.runs) };
    assert_eq!((lost.verdict.as_str(), lost.result.as_deref()), ("handler failed", Some("done")));
    assert_eq!((handled.verdict.as_str(), handled.cost_usd), ("complete", Some(0.0)));
}

/// Looks whether the answer is in the database already, fails the first time, and then goes on in the session.
#[claude_worker(name = "handlers.curious", queue = "tests", max_attempts = 2, backoff = in_an_hour)]
struct Curious;

fn in_an_hour(_: u32) -> Duration {
    Duration::from_secs(3_600)
}

impl Handler for Curious {
    async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        if text == "the end" {
            return Ok(Verdict::Complete);
        }
        let url = cx.job().meta["url"].as_str().unwrap_or_default().to_owned();
        let mut connection = sqlx::SqliteConnection::connect(&url).await?;
        let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM claude_jobs_answers");
        assert_eq!(stored.fetch_one(&mut connection).await?, 1, "it is stored before it is handled");
        match cx.handler_attempt() {
            1 => Err(std::io::Error::other("as ordered"))?,
            _ => Ok(Verdict::resume("And then?")),
        }
    }
}

#[tokio::test]
async fn a_session_is_continued_where_claude_has_run_wherever_its_handler_did() {
    let place = Place::new().await;
    let notes = serde_json::Map::from_iter([("url".to_owned(), json!(place.url()))]);
    let job = Curious::new("x").meta(notes).insert(&place.queue).await.expect("valid");
    let (claude, requests) = asked([success("the beginning"), success("the end")]);
    let claude = Arc::new(claude);
    let run = |host: &'static str, claude: Arc<_>| {
        let claude = move |request: Request| {
            let claude: Arc<_> = Arc::clone(&claude);
            async move { Claude::run(&*claude, request).await }
        };
        place.drain(On(host, claude))
    };
    run("one", Arc::clone(&claude)).await;
    let waits = place.job(&job).await;
    assert_eq!((waits.state, waits.continuation.answered), (State::Retryable, true), "{:?}", waits.reason);
    place.queue.retry(job.id()).await.expect("it waits");
    run("two", Arc::clone(&claude)).await;
    let waits = place.job(&job).await;
    let session = waits.continuation.session.clone().expect("it goes on");
    assert_eq!((session.host.as_deref(), session.prompt.as_deref()), (Some("one"), Some("And then?")));
    run("two", Arc::clone(&claude)).await;
    assert_eq!(requests.lock().expect("no panic").len(), 1, "not on the other host");
    run("one", claude).await;
    assert_eq!(place.job(&job).await.state, State::Completed);
    assert_eq!(requests.lock().expect("no panic")[1].prompt(), "And then?");
}

/// The handler alone needs no options, so that options which no longer merge do not matter.
#[tokio::test]
async fn an_answer_is_handled_though_the_options_would_not_run_any_more() {
    let place = Place::new().await;
    let notes = serde_json::Map::from_iter([("url".to_owned(), json!(place.url()))]);
    let job = Curious::new("x").meta(notes).insert(&place.queue).await.expect("valid");
    place.drain(asked([success("the beginning")]).0).await;
    let broken = sqlx::query("UPDATE claude_jobs SET args = '{\"max_turns\": 0}'");
    broken.execute(&mut place.connection().await).await.expect("a write");
    place.queue.retry(job.id()).await.expect("it waits");
    place.drain(asked([success("never")]).0).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!(details.runs[1].verdict, "resume", "{:?}", details.job.reason);
    assert_eq!(details.runs[1].result.as_deref(), Some("the beginning"));
}

#[claude_worker(name = "handlers.explosive", queue = "tests", max_attempts = 1)]
struct Explosive;

/// Panics where nobody expects it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as ordered");
    }
}

impl Handler for Explosive {
    async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        let _bomb = Bomb;
        cx.cancellation().clone().cancelled().await;
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_handler_that_is_cut_off_keeps_its_answer_whatever_it_holds() {
    let place = Place::new().await;
    let job = Explosive::new("x").insert(&place.queue).await.expect("valid");
    let is_stored = async {
        let stored = "SELECT count(*) FROM claude_jobs_answers";
        while sqlx::query_scalar::<_, i64>(stored)
            .fetch_one(&mut place.connection().await)
            .await
            .expect("a read")
            == 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (claude, _) = asked([success("done")]);
    let runtime =
        Runtime::builder(place.queue.clone()).queue("tests", 1).grace(Duration::ZERO).claude(claude);
    runtime.run_until(is_stored).await.expect("it ends");
    let waits = place.job(&job).await;
    assert_eq!((waits.state, waits.continuation.answered), (State::Available, true), "{:?}", waits.reason);
}

/// Without a handler there is nothing to keep the answer for.
#[tokio::test]
async fn a_bare_worker_pays_no_further_write() {
    let place = Place::new().await;
    Judged::new("x").insert(&place.queue).await.expect("valid");
    place.drain(asked([success("done")]).0).await;
    let stored = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM claude_jobs_answers");
    assert_eq!(stored.fetch_one(&mut place.connection().await).await.expect("a read"), 0);
}

#[claude_worker(name = "handlers.strict", queue = "tests", require_mcp)]
struct Strict;

#[tokio::test]
async fn the_runner_is_told_whether_a_worker_requires_its_mcp_servers() {
    let place = Place::new().await;
    Judged::new("x").insert(&place.queue).await.expect("valid");
    Strict::new("x").insert(&place.queue).await.expect("valid");
    let (claude, requests) = asked([success("done")]);
    place.drain(claude).await;
    let mut required: Vec<_> =
        requests.lock().expect("no panic").iter().map(|request| request.require_mcp).collect();
    required.sort_unstable();
    assert_eq!(required, [false, true]);
}
