//! One job per kind of outcome, through the real queue, with a scripted claude: offline, free, a few
//! seconds.
//!
//! `cargo run -p claude-jobs-examples --example playground` (add `-- --live` for the real claude, and for those
//! outcomes that a job can bring it to: for some cents)
//!
//! Each job's prompt names what claude shall do; the table shows what the classifier makes of it and
//! where the job ends. The program fails when a job ends elsewhere than expected.

use std::time::Duration;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::notice::Notice;
use claude_jobs::outcome::{Ending, NotStarted, Report};
use claude_jobs::prelude::*;
use claude_jobs::{JobBuilder, claude_worker};
use claude_jobs_examples::{Outcome, Stage, is_live};
use serde_json::{Value, json};

/// The job carries everything; its prompt names the scenario.
#[claude_worker(queue = "playground", max_attempts = 3, args = { max_turns = 5, max_budget_usd = 0.5 })]
struct Scenario;

/// The same, with a handler that has the last word: it enqueues a job that follows.
#[claude_worker(queue = "playground", args = { max_turns = 5, max_budget_usd = 0.5 })]
struct WithHandler;

impl Handler for WithHandler {
    async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        if text.to_lowercase().contains("nothing to do") {
            return Ok(Verdict::cancel("the handler says so: nothing to do"));
        }
        cx.enqueue(Scenario::new("succeed").tags(["follow-on"]));
        Ok(Verdict::Complete)
    }
}

/// What claude shall do, what the run comes to, and where the job ends. In this order: the usage limit stops all that
/// comes after it, so it comes last.
const SCENARIOS: &[(&str, &str, State)] = &[
    ("succeed", "success", State::Completed),
    ("answer in the schema", "success", State::Completed),
    ("ignore the schema", "output_mismatch", State::Retryable),
    ("say nothing", "empty_answer", State::Retryable),
    ("report an error", "result_error", State::Retryable),
    ("be overloaded", "overloaded", State::Retryable),
    ("fail in the API", "server_error", State::Retryable),
    ("lose the connection", "connection", State::Retryable),
    ("hit the rate limit", "rate_limit", State::Retryable),
    ("be killed", "killed", State::Retryable),
    ("hang", "timeout", State::Scheduled),
    ("run out of turns", "max_turns", State::Cancelled),
    ("run out of budget", "max_budget", State::Cancelled),
    ("have no such model", "model_not_found", State::Cancelled),
    ("refuse a flag", "invalid_option", State::Cancelled),
    ("not be installed", "binary_missing", State::Cancelled),
    ("break in the runner", "runner", State::Cancelled),
    ("hit the usage limit", "usage_limit", State::Scheduled),
];

/// What the real claude does too, when the job is made for it.
const OF_THE_REAL_ONE: &[&str] = &[
    "succeed",
    "answer in the schema",
    "hang",
    "run out of turns",
    "run out of budget",
    "have no such model",
];

fn made_for(shall: &str) -> JobBuilder<Scenario> {
    let job = Scenario::new(shall);
    match shall {
        "hang" => job.timeout(Duration::from_millis(200)),
        _ if shall.contains("schema") => job.json_schema(r#"{"type":"object"}"#),
        "run out of turns" => {
            job.max_turns(1).append_system_prompt("Before you answer, list the files of your folder.")
        }
        "run out of budget" => job.max_budget_usd(0.0001),
        "have no such model" => job.model("no-such-model"),
        // Its own, so that it is its own fault.
        "not be installed" => job.binary("/nowhere/claude"),
        _ => job,
    }
}

/// The scripted claude: a closure is a runner.
async fn scripted(request: Request) -> Result<Report, RunnerError> {
    // Long enough to be seen.
    tokio::time::sleep(Duration::from_millis(60)).await;
    Ok(match request.prompt() {
        "answer in the schema" => result(json!({"result": "{}", "structured_output": {"fixed": true}})),
        "say nothing" => result(json!({"result": ""})),
        "report an error" => failed(None, "unknown", "something went wrong"),
        "be overloaded" => failed(Some(529), "server_error", "API Error: 529 Overloaded"),
        "fail in the API" => failed(Some(500), "server_error", "API Error: 500 Internal server error"),
        "lose the connection" => failed(None, "server_error", "API Error: Connection dropped (ECONNRESET)"),
        "hit the rate limit" => failed(Some(429), "rate_limit", "API Error: Request rejected (429)"),
        "have no such model" => {
            failed(Some(404), "model_not_found", "There's an issue with the selected model")
        }
        "run out of turns" => limit("error_max_turns", "Reached maximum number of turns (2)"),
        "run out of budget" => limit("error_max_budget_usd", "Reached maximum budget ($0.50)"),
        "hit the usage limit" => usage_limit(),
        "refuse a flag" => refused("error: unknown option '--bogus'"),
        "not be installed" => {
            ended(Ending::NotStarted(NotStarted::BinaryMissing("`claude` is not on PATH".into())))
        }
        "be killed" => ended(Ending::Signalled(Some(9))),
        "hang" => ended(Ending::Stopped(request.stop.fired().await)),
        "break in the runner" => return Err("an error that nobody classified".into()),
        prompt => result(json!({"result": format!("I was asked to {prompt}. Done.")})),
    })
}

/// A result event as the CLI prints it, with these fields changed.
fn result(changes: Value) -> Report {
    let mut event = json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 1,
        "session_id": "5e551011-0000-4000-8000-000000000001",
        "model_usage_since_last_result": {"sonnet": {"costUSD": 0.04, "inputTokens": 900, "outputTokens": 60}},
    });
    if let (Some(event), Some(changes)) = (event.as_object_mut(), changes.as_object()) {
        event.extend(changes.clone());
    }
    let start = json!({"type": "system", "subtype": "init", "model": "sonnet"});
    Report::from_events([&start, &event], i32::from(event["is_error"] == true))
}

fn failed(status: Option<u16>, error: &str, text: &str) -> Report {
    let mut report = result(json!({
        "is_error": true, "terminal_reason": "api_error", "api_error_status": status, "result": text,
    }));
    report.api_error = Some(json!({"type": "assistant", "error": error}));
    report
}

fn limit(subtype: &str, error: &str) -> Report {
    result(json!({"is_error": true, "subtype": subtype, "errors": [error]}))
}

fn usage_limit() -> Report {
    let mut report = failed(Some(429), "rate_limit", "You've hit your weekly limit · resets Jan 1, 2100");
    report.rate_limit = Some(json!({"status": "rejected", "resetsAt": 4_102_444_800_i64}));
    report
}

fn refused(stderr: &str) -> Report {
    let mut report = ended(Ending::Exited(1));
    report.stderr = stderr.to_owned();
    report
}

fn ended(ending: Ending) -> Report {
    let mut report = Report::new(None);
    report.ending = ending;
    report
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::new().await?;
    let queue = &stage.queue;

    let mut expected = Vec::new();
    let played = SCENARIOS.iter().filter(|(shall, ..)| !is_live() || OF_THE_REAL_ONE.contains(shall));
    for (number, (shall, outcome, state)) in (0..).zip(played) {
        let job = made_for(shall).priority(number / 3).insert(queue).await?;
        expected.push((job.id(), *outcome, *state));
    }
    let handled = [("say: it is fixed", State::Completed), ("say: nothing to do", State::Cancelled)];
    for (prompt, state) in handled {
        expected.push((WithHandler::new(prompt).insert(queue).await?.id(), "success", state));
    }

    println!(
        "{:>3}  {:<22} {:<16} {:<9} {:<10} {:>6}  why",
        "job", "claude shall", "outcome", "verdict", "state", "cost"
    );
    stage.runtime(scripted).queue("playground", 3).on_notice(print).drain().await?;

    for (id, outcome, state) in &expected {
        let details = queue.details(*id).await?;
        assert_eq!((details.runs[0].outcome.as_str(), details.job.state), (*outcome, *state), "job {id}");
    }
    println!("\n{} jobs and the one that follows, each where it belongs", expected.len());
    Ok(())
}

fn print(notice: &Notice<'_>) {
    let Notice::Settled { job, settlement, .. } = notice else { return };
    let run = &settlement.run;
    let prompt = job.args.get("prompt").and_then(Value::as_str).unwrap_or_default();
    let cost = run.cost_usd.map_or("?".to_owned(), |cost| format!("${cost:.2}"));
    let why: String = settlement.reason.as_deref().unwrap_or_default().chars().take(60).collect();
    println!(
        "{:>3}  {prompt:<22} {:<16} {:<9} {:<10} {cost:>6}  {why}",
        job.id, run.outcome, run.verdict, settlement.state
    );
}
