//! Runs that fail on the way: the API says no, or a cap is reached. Exit code 1.

use claude_jobs_tests::api::Reply;
use claude_jobs_tests::invocation::{Finished, Invocation};
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Stage, cost_of_run};

on_each_claude! {
    async invalid_key, no_credentials, usage_limit_with_a_reset_time, rate_limit_with_a_key, rate_limit_with_a_token,
    overloaded, the_cli_retries_as_often_as_it_is_told, unknown_model, max_turns,
    max_budget_fires_even_after_a_complete_answer, schema_retries_are_exhausted_after_five,
    sigint_while_the_model_is_silent,
}

/// What every API failure has in common (claude-cli.md, section 0). Returns its result.
fn assert_api_failure(finished: &Finished, status: Value, kind: &str) -> Value {
    assert_eq!(finished.exit(), 1);
    let result = finished.result();
    assert_eq!(result["subtype"], "success", "the subtype alone is not to be believed");
    assert_eq!(result["is_error"], true);
    assert_eq!(result["terminal_reason"], "api_error");
    assert_eq!(result["api_error_status"], status);
    assert_eq!(finished.api_error()["error"], kind);
    result
}

async fn invalid_key(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::invalid_key()]);
    let finished = stage.run(&[], "Do it.").await;
    let result = assert_api_failure(&finished, json!(401), "authentication_failed");
    assert_eq!(result["result"], "Invalid API key · Fix external API key");
    assert_eq!(finished.stderr, "");
    assert_eq!(stage.api.requests().len(), 1);
}

async fn no_credentials(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("never")]);
    let mut env = stage.env();
    env.retain(|(key, _)| key != "ANTHROPIC_API_KEY");
    let finished = Invocation::new(claude, &stage.repo, env, &[]).run("Do it.").await;
    let result = assert_api_failure(&finished, Value::Null, "authentication_failed");
    assert_eq!(result["result"], "Not logged in · Please run /login");
    assert!(stage.api.requests().is_empty());
}

/// Only the words changed between the versions; the kind and the moment are where they were.
async fn usage_limit_with_a_reset_time(claude: RealClaude) {
    let reset = 4_102_444_800_u64;
    let stage = Stage::new(claude, [Reply::usage_limit(reset)]);
    let finished = stage.run_oauth("Do it.").await;

    let result = assert_api_failure(&finished, json!(429), "rate_limit");
    assert_eq!(result["api_error"], "usage_limit_reached");
    let limit = match claude {
        RealClaude::Oldest => "session limit",
        RealClaude::Newest => "5-hour limit",
    };
    assert_eq!(result["result"], format!("You've hit your {limit} · resets Jan 1, 2100, 12am (UTC)"));
    let event = &finished.events_of("rate_limit_event")[0]["rate_limit_info"];
    assert_eq!(event["status"], "rejected");
    assert_eq!(event["resetsAt"], reset);
    assert_eq!(event["rateLimitType"], "five_hour");
    let params = &finished.api_error()["api_error_params"]["rate_limit_info"];
    assert_eq!(params["resetsAt"], reset);
    assert_eq!(stage.api.requests().len(), 1, "the CLI does not retry");
}

/// With an API key the CLI knows of no usage limit, whatever the headers say: no time is printed.
async fn rate_limit_with_a_key(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::usage_limit(4_102_444_800)]);
    let finished = stage.run(&[], "Do it.").await;
    let result = assert_api_failure(&finished, json!(429), "rate_limit");
    assert!(result.get("api_error").is_none());
    assert!(result["result"].as_str().is_some_and(|it| it.starts_with("API Error: Request rejected (429)")));
    assert!(finished.events_of("rate_limit_event").is_empty());
}

/// A 429 without limit headers is no usage limit. Observed beyond claude-cli.md: there is a
/// `rate_limit_event` with status `rejected` all the same, but it has no `resetsAt`.
async fn rate_limit_with_a_token(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::rate_limit()]);
    let finished = stage.run_oauth("Do it.").await;
    let result = assert_api_failure(&finished, json!(429), "rate_limit");
    assert!(result.get("api_error").is_none());
    let info = &finished.events_of("rate_limit_event")[0]["rate_limit_info"];
    assert_eq!(info["status"], "rejected");
    assert!(info.get("resetsAt").is_none());
}

async fn overloaded(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::overloaded()]);
    let finished = stage.run(&[], "Do it.").await;
    let result = assert_api_failure(&finished, json!(529), "server_error");
    assert!(result["result"].as_str().is_some_and(|it| it.starts_with("API Error: 529 Overloaded")));
    assert_eq!(stage.api.requests().len(), 1, "CLAUDE_CODE_MAX_RETRIES=0 is obeyed");
}

async fn the_cli_retries_as_often_as_it_is_told(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::error(500, "api_error", "Broken"), Reply::text("Done.")]);
    let mut env = stage.env();
    env.retain(|(key, _)| key != "CLAUDE_CODE_MAX_RETRIES");
    env.push(("CLAUDE_CODE_MAX_RETRIES".into(), "2".into()));
    let finished = Invocation::new(claude, &stage.repo, env, &[]).run("Do it.").await;
    assert_eq!(finished.exit(), 0);
    let retry = finished.events_of("system").into_iter().find(|event| event["subtype"] == "api_retry");
    let retry = retry.expect("a retry is announced");
    assert_eq!((&retry["attempt"], &retry["max_retries"]), (&json!(1), &json!(2)));
    assert_eq!((&retry["error_status"], &retry["error"]), (&json!(500), &json!("server_error")));
}

async fn unknown_model(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::unknown_model("claude-no-such-model")]);
    let finished = stage.run(&["--model", "claude-no-such-model"], "Do it.").await;
    let result = assert_api_failure(&finished, json!(404), "model_not_found");
    let text = result["result"].as_str().expect("it has a text");
    assert!(text.starts_with("There's an issue with the selected model (claude-no-such-model)."));
    assert!(finished.stderr.starts_with("[claude-code:unrecognized_model]"));
}

async fn max_turns(claude: RealClaude) {
    let list = Reply::tool("Bash", json!({ "command": "ls", "description": "List" }));
    let stage = Stage::new(claude, [list]);
    let finished = stage.run(&["--max-turns", "2", "--allowed-tools", "Bash"], "Loop.").await;

    assert_eq!(finished.exit(), 1);
    let result = finished.result();
    assert_eq!(result["subtype"], "error_max_turns");
    assert_eq!(result["terminal_reason"], "max_turns");
    assert_eq!(result["errors"], json!(["Reached maximum number of turns (2)"]));
    assert_eq!(result["num_turns"], 3);
    assert!(result.get("result").is_none());
    assert!(cost_of_run(&result) > 0.0);
    assert_eq!(stage.api.requests().len(), 2);
}

async fn max_budget_fires_even_after_a_complete_answer(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::text("All done.").tokens(1_000, 100_000)]);
    let finished = stage.run(&["--max-budget-usd", "0.01"], "Spend.").await;

    assert_eq!(finished.exit(), 1);
    let result = finished.result();
    assert_eq!(result["subtype"], "error_max_budget_usd");
    assert_eq!(result["terminal_reason"], "budget_exhausted");
    assert_eq!(result["errors"], json!(["Reached maximum budget ($0.01)"]));
    assert!(cost_of_run(&result) > 0.01);
    assert_eq!(finished.events_of("assistant")[0]["message"]["content"][0]["text"], "All done.");
}

async fn schema_retries_are_exhausted_after_five(claude: RealClaude) {
    let schema = r#"{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}"#;
    let stage = Stage::new(claude, [Reply::structured(json!({ "answer": 7 }))]);
    let finished = stage.run(&["--json-schema", schema], "Answer.").await;
    assert_eq!(finished.exit(), 1);
    assert_eq!(finished.result()["subtype"], "error_max_structured_output_retries");
    assert_eq!(stage.api.requests().len(), 5);
}

/// Exit 0 with an error in the result. (claude-cli.md has no result at all here: that is a SIGINT
/// before the request is under way.)
async fn sigint_while_the_model_is_silent(claude: RealClaude) {
    let stage = Stage::new(claude, [Reply::hang()]);
    let running =
        Invocation { prompt: "Wait.".into(), ..Invocation::new(claude, &stage.repo, stage.env(), &[]) }
            .start();
    let limit = std::time::Duration::from_secs(30);
    let asked = || !stage.api.requests().is_empty();
    claude_jobs_tests::sandbox::wait_until(limit, "the first request", asked).await;
    running.signal(Signal::INT);

    let finished = running.finish().await;
    assert_eq!(finished.exit(), 0);
    for result in finished.events_of("result") {
        assert_eq!(result["subtype"], "error_during_execution");
        assert_eq!(result["is_error"], true);
    }
}
