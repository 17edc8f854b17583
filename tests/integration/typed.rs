//! Typed answers, from the worker's `output` to its handler: what claude is asked for, what fits, and the one
//! repair of what does not.

mod real;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_jobs::claude::{Claude, ClaudeCli, Request, RunnerError, Stop};
use claude_jobs::outcome::{Ending, Report, StopReason};
use claude_jobs::prelude::*;
use claude_jobs::queue::JobDetails;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::{processes_with_env, wait_until};
use claude_jobs_tests::script::{Child, Step, Take};
use serde_json::{Value, json};

use crate::workers::Place;

/// What is to become of an issue.
#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[schemars(crate = "claude_jobs::schemars")]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Fix,
    WontFix,
}

/// The answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
struct Triaged {
    outcome: Outcome,
    /// In one sentence.
    summary: String,
    /// A moment, which claude does not check itself.
    #[schemars(extend("format" = "date-time"))]
    due: String,
}

/// Sorts an issue.
#[claude_worker(queue = "tests", output = Triaged, prompt = "Sort the issue.", max_attempts = 2)]
struct Triage;

impl Handler for Triage {
    async fn handle_result(&self, triaged: Triaged, run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        assert!(run.structured().is_some() && run.outcome() == &claude_jobs::Outcome::Success);
        cx.meta().insert("summary".into(), json!(triaged.summary));
        cx.meta().insert("due".into(), json!(triaged.due));
        Ok(match triaged.outcome {
            Outcome::Fix => Verdict::Complete,
            Outcome::WontFix => Verdict::cancel("won't fix"),
        })
    }

    async fn handle_error(
        &self,
        verdict: Verdict,
        failure: &Failure,
        _: &Run,
        cx: &mut Ctx,
    ) -> Result<Verdict> {
        cx.meta().insert("failure".into(), json!(failure.kind.name()));
        Ok(verdict)
    }
}

/// An answer that is no JSON object.
#[claude_worker(queue = "tests", output = Outcome, prompt = "Fix it?")]
struct YesOrNo;

fn right() -> Value {
    json!({"outcome": "fix", "summary": "An easy one.", "due": "2026-11-23T09:00:00Z"})
}

fn wrong() -> Value {
    json!({"outcome": "perhaps-secret", "summary": "An easy one.", "due": "2026-11-23T09:00:00Z"})
}

/// A success with this structured answer, or with text only.
fn answer(structured: Option<&Value>, session: &str) -> Report {
    let mut event = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 2, "result": "text",
        "session_id": session,
        "model_usage_since_last_result": {"model": {"costUSD": 0.25, "inputTokens": 3, "outputTokens": 4}},
    });
    if let Some(structured) = structured {
        event["structured_output"] = structured.clone();
    }
    Report::from_events([&event], 0)
}

const SESSION: &str = "0199f1de-0000-7000-8000-00000000abcd";

type Asked = Arc<Mutex<Vec<Request>>>;

/// A runner that gives these answers in turn, and then the last one again.
fn answering(answers: impl IntoIterator<Item = Option<Value>>) -> (impl Claude + 'static, Asked) {
    let answers: Vec<_> = answers.into_iter().collect();
    let asked = Asked::default();
    let requests = Arc::clone(&asked);
    let claude = move |request: Request| {
        let mut requests = requests.lock().expect("no panic");
        let answer = answer(answers[requests.len().min(answers.len() - 1)].as_ref(), SESSION);
        requests.push(request);
        async move { Ok::<_, RunnerError>(answer) }
    };
    (claude, asked)
}

async fn drained<W: Worker>(job: claude_jobs::JobBuilder<W>, claude: impl Claude + 'static) -> JobDetails {
    let place = Place::new().await;
    let job = job.insert(&place.queue).await.expect("valid");
    place.drain(claude).await;
    place.queue.details(job.id()).await.expect("there")
}

/// The job's only run: outcome, ending, cost.
fn only_run(details: &JobDetails) -> (&str, &str, Option<f64>) {
    let [run] = &details.runs[..] else { panic!("{:?}", details.runs) };
    (&run.outcome, &run.ending, run.cost_usd)
}

#[tokio::test]
async fn a_typed_answer_reaches_the_handler() {
    let (claude, asked) = answering([Some(right())]);
    let details = drained(Triage::new(), claude).await;
    assert_eq!((details.job.state, &details.job.meta["summary"]), (State::Completed, &json!("An easy one.")));
    assert_eq!(only_run(&details), ("success", "exit 0", Some(0.25)));
    assert_eq!(details.runs[0].structured, Some(right()));
    let schema = asked.lock().expect("no panic")[0].options.json_schema.clone().expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(schema["properties"]["outcome"]["enum"], json!(["fix", "wont_fix"]));
    assert_eq!(schema["required"], json!(["outcome", "summary", "due"]));

    let (claude, asked) = answering([Some(json!({"value": "wont_fix"}))]);
    let details = drained(YesOrNo::new(), claude).await;
    assert_eq!((details.job.state, only_run(&details).0), (State::Completed, "success"));
    let schema = asked.lock().expect("no panic")[0].options.json_schema.clone().expect("a schema");
    assert!(schema.contains(r#""required":["value"]"#), "{schema}");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_repaired_in_the_same_attempt() {
    for first in [Some(wrong()), None] {
        let (claude, asked) = answering([first.clone(), Some(right())]);
        let details = drained(Triage::new().max_budget_usd(1.0).max_turns(7), claude).await;
        assert_eq!((details.job.state, details.job.attempt), (State::Completed, 1));
        assert_eq!(only_run(&details), ("success", "exit 0, after a repair", Some(0.5)));
        let run = &details.runs[0];
        assert_eq!((run.turns, run.structured.as_ref()), (Some(4), Some(&right())));
        assert_eq!(run.tokens.map(|tokens| (tokens.input, tokens.output)), Some((6, 8)));
        assert!(details.errors.is_empty() && run.last_events.len() == 2, "{details:?}");

        let asked = asked.lock().expect("no panic");
        let [task, repair] = &asked[..] else { panic!("two runs") };
        assert_eq!(
            (repair.options.resume.as_deref(), repair.pinned_session()),
            (Some(SESSION), Some(SESSION))
        );
        assert_eq!(repair.options.json_schema, task.options.json_schema);
        assert_eq!((repair.options.max_budget_usd, repair.options.max_turns), (Some(0.75), Some(7)));
        assert_eq!(repair.marker, task.marker, "one attempt");
        let told = match first {
            Some(_) => "- `/outcome`: \"perhaps-secret\" is not one of",
            None => "- no structured answer came",
        };
        assert!(repair.prompt().contains(told), "{}", repair.prompt());
        assert!(!repair.prompt().contains("Sort the issue."), "the task is in the session");
    }
}

#[tokio::test]
async fn an_answer_that_still_does_not_fit_is_a_counted_retry_and_quoted_nowhere() {
    let (claude, asked) = answering([Some(wrong())]);
    let details = drained(Triage::new(), claude).await;
    assert_eq!(asked.lock().expect("no panic").len(), 2, "one repair, no more");
    assert_eq!((details.job.state, details.job.counted_attempts()), (State::Retryable, 1));
    assert_eq!(only_run(&details), ("output_mismatch", "exit 0, after a repair", Some(0.5)));
    assert_eq!(details.job.meta["failure"], "output_mismatch");
    let message = "the answer breaks `/properties/outcome/enum` of the JSON Schema; after a repair";
    assert_eq!(
        (details.errors[0].kind.as_str(), details.errors[0].message.as_str()),
        ("output_mismatch", message)
    );
    assert_eq!(details.job.reason.as_deref(), Some(&*format!("output_mismatch: {message}")));
    assert_eq!(details.runs[0].structured, Some(wrong()), "what was paid for is in the ledger");

    let (claude, _) = answering([Some(wrong())]);
    let last = drained(Triage::new().max_attempts(1), claude).await;
    assert_eq!(last.job.state, State::Discarded, "capped by the attempts");
}

#[tokio::test]
async fn where_the_session_cannot_be_resumed_the_ledger_says_why() {
    let cases = [
        (Triage::new().no_session_persistence(true), "`no_session_persistence` leaves no session to resume"),
        (Triage::new().max_budget_usd(0.25), "`max_budget_usd` is spent"),
        (Triage::new().timeout(Duration::from_millis(900)), "`timeout` leaves no time"),
    ];
    for (job, why) in cases {
        let (claude, asked) = answering([Some(wrong())]);
        let details = drained(job, claude).await;
        assert_eq!(asked.lock().expect("no panic").len(), 1, "{why}");
        let ending = format!("exit 0, no repair: {why}");
        assert_eq!(only_run(&details), ("output_mismatch", ending.as_str(), Some(0.25)));
        assert!(details.job.reason.is_some_and(|reason| reason.ends_with(why)));
    }
    // A runner that names no session.
    let nameless = |_: Request| async {
        let mut report = answer(Some(&wrong()), SESSION);
        report.session_id = None;
        Ok::<_, RunnerError>(report)
    };
    let details = drained(Triage::new(), nameless).await;
    assert_eq!(only_run(&details).1, "exit 0, no repair: the run named no session to resume");
}

/// Answers wrongly, and then not at all.
async fn stuck_in_the_repair(request: Request) -> Result<Report, RunnerError> {
    if request.options.resume.is_none() {
        return Ok(answer(Some(&wrong()), SESSION));
    }
    let mut report = Report::new(request.pinned_session().map(str::to_owned));
    report.ending = Ending::Stopped(request.stop.fired().await);
    Ok(report)
}

#[tokio::test]
async fn both_runs_share_the_timeout() {
    let slow = |request: Request| async move {
        if request.options.resume.is_none() {
            tokio::time::sleep(Duration::from_millis(700)).await;
        } else {
            let left = request.options.timeout.expect("a timeout");
            assert!(left <= Duration::from_millis(4_300), "{left:?}");
        }
        stuck_in_the_repair(request).await
    };
    let details = drained(Triage::new().timeout(Duration::from_secs(5)), slow).await;
    assert_eq!((details.job.state, details.job.snoozes), (State::Scheduled, 1));
    let unknown = None;
    assert_eq!(only_run(&details), ("timeout", "stopped: timeout, after a repair", unknown));
}

#[tokio::test]
async fn a_stop_between_the_runs_starts_no_repair() {
    let stopping = |request: Request| async move {
        let is_continued = request.options.resume.is_some();
        let prompt = request.options.prompt.expect("a prompt");
        assert_eq!(is_continued, prompt.contains("was interrupted before"), "no repair: {prompt}");
        let stop: Stop = request.stop;
        stop.fire(StopReason::Shutdown);
        Ok::<_, RunnerError>(answer(Some(&wrong()), SESSION))
    };
    let place = Place::new().await;
    let job = Triage::new().insert(&place.queue).await.expect("valid");
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(stopping);
    let cut_off = async {
        while place.queue.details(job.id()).await.expect("there").runs.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        place.queue.pause("tests").await.expect("a write");
    };
    runtime.drain_until(cut_off).await.expect("it drains");
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!(details.job.counted_attempts(), 0);
    let run = &details.runs[0];
    assert_eq!(
        (run.verdict.as_str(), run.ending.as_str(), run.cost_usd),
        ("resume", "stopped: shutdown", Some(0.25))
    );
}

#[tokio::test]
async fn a_repair_whose_session_is_gone_is_none() {
    let gone = |request: Request| async move {
        Ok::<_, RunnerError>(match request.options.resume {
            None => answer(Some(&wrong()), SESSION),
            Some(_) => crate::workers::recorded("no_conversation"),
        })
    };
    let details = drained(Triage::new(), gone).await;
    assert_eq!(details.job.state, State::Retryable, "not the job's fault");
    assert_eq!(only_run(&details).1, "exit 0, no repair: its session is not on this machine");
}

#[tokio::test]
async fn a_job_brings_no_schema_of_its_own() {
    let place = Place::new().await;
    let problem = Triage::new().json_schema(json!({"type": "object"})).insert(&place.queue).await;
    let problem = problem.expect_err("the worker has one").to_string();
    assert!(problem.contains("`json_schema` is the worker's: it has `output = Triaged`"), "{problem}");
    let problem =
        crate::workers::Plain::new("x").json_schema(r#"{"properties": 3}"#).insert(&place.queue).await;
    let problem = problem.expect_err("no schema").to_string();
    assert!(problem.contains("`/properties`: takes an object, by name"), "{problem}");
}

/// Its first run answers wrongly, its repair hangs and has started what minds no signal.
fn hanging_in_the_repair() -> FakeClaude {
    let stubborn = Child { ignore_signals: true, daemonise: true, ..Child::default() };
    FakeClaude::new([Take::structured(&wrong()), Take::hang().then(Step::ForkChild(stubborn))])
}

fn runner(fake: &FakeClaude, tag: &str) -> ClaudeCli {
    let path = fake.path();
    ClaudeCli::builder().binary(path.to_str().expect("UTF-8")).env("CLAUDE_JOBS_TEST", tag).build()
}

const SOON: Duration = Duration::from_secs(30);

async fn repair_is_under_way(fake: &FakeClaude) {
    let is_there = || fake.records().get(1).is_some_and(|record| !record.children.is_empty());
    wait_until(SOON, "the repair's tool", is_there).await;
    let repair = &fake.records()[1];
    assert!(repair.argv.iter().any(|word| word == "--resume"), "{:?}", repair.argv);
    assert!(repair.stdin.as_ref().is_some_and(|prompt| prompt.contains("`/outcome`: \"perhaps-secret\"")));
}

async fn nothing_is_left(tag: &str) {
    let marker = format!("CLAUDE_JOBS_TEST={tag}");
    wait_until(SOON, "the end of the processes", || processes_with_env(&marker).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_repair_leaves_no_process() {
    let (place, fake) = (Place::new().await, hanging_in_the_repair());
    let tag = format!("typed-cancel-{}", std::process::id());
    let job = Triage::new().insert(&place.queue).await.expect("valid");
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(runner(&fake, &tag));
    let runtime = tokio::spawn(runtime.drain());
    repair_is_under_way(&fake).await;
    place.queue.cancel(job.id()).await.expect("it runs");
    runtime.await.expect("no panic").expect("it drains");
    nothing_is_left(&tag).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!(details.job.state, State::Cancelled);
    assert_eq!(only_run(&details), ("cancelled", "stopped: cancel, after a repair", None));
    assert_eq!(fake.records().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_dropped_in_a_repair_leaves_no_process() {
    let (place, fake) = (Place::new().await, hanging_in_the_repair());
    let tag = format!("typed-drop-{}", std::process::id());
    Triage::new().insert(&place.queue).await.expect("valid");
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(runner(&fake, &tag));
    let runtime = tokio::spawn(runtime.run_until(std::future::pending()));
    repair_is_under_way(&fake).await;
    runtime.abort();
    nothing_is_left(&tag).await;
}
