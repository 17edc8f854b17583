//! The ready-made takes say what they were asked to say, in the real CLI's shapes.

use claude_jobs_tests::script::{Step, Take};
use serde_json::{Value, json};

fn events(take: &Take) -> Vec<&Value> {
    take.steps
        .iter()
        .filter_map(|step| if let Step::Print(event) = step { Some(event) } else { None })
        .collect()
}

fn event<'a>(take: &'a Take, kind: &str) -> &'a Value {
    let found = events(take).into_iter().rfind(|event| event["type"] == kind);
    found.unwrap_or_else(|| panic!("no `{kind}` in {take:?}"))
}

fn exit(take: &Take) -> Option<i32> {
    take.steps.iter().find_map(|step| if let Step::Exit(code) = step { Some(*code) } else { None })
}

#[test]
fn success_and_cost() {
    let take = Take::success("Hello.").costing(1.5);
    let result = event(&take, "result");
    assert_eq!((&result["result"], &result["total_cost_usd"]), (&json!("Hello."), &json!(1.5)));
    let models = result["model_usage_since_last_result"].as_object().expect("a map");
    assert!(models.values().all(|model| model["costUSD"] == 1.5));
    assert_eq!(event(&take, "assistant")["message"]["content"][0]["text"], "Hello.");
    assert_eq!(event(&take, "system")["cwd"], "$CWD");
    assert_eq!(exit(&take), Some(0));
}

#[test]
fn structured() {
    let take = Take::structured(&json!({ "n": 1 }));
    assert_eq!(event(&take, "result")["structured_output"], json!({ "n": 1 }));
    assert_eq!(event(&take, "result")["result"], r#"{"n":1}"#);
}

#[test]
fn api_error() {
    let take = Take::api_error(Some(503), "server_error", "API Error: 503");
    let (assistant, result) = (event(&take, "assistant"), event(&take, "result"));
    assert_eq!(
        (&assistant["error"], &assistant["is_api_error_message"]),
        (&json!("server_error"), &json!(true))
    );
    assert_eq!((&result["api_error_status"], &result["result"]), (&json!(503), &json!("API Error: 503")));
    assert_eq!(exit(&take), Some(1));
}

/// The time and its text were observed together from the real CLI.
#[test]
fn usage_limit() {
    let take = Take::usage_limit(1_795_401_058);
    assert_eq!(event(&take, "rate_limit_event")["rate_limit_info"]["resetsAt"], 1_795_401_058);
    let error = event(&take, "assistant");
    assert_eq!(error["api_error_params"]["rate_limit_info"]["resetsAt"], 1_795_401_058);
    assert_eq!(event(&take, "result")["result"], "You've hit your session limit · resets 2:30am (UTC)");
}

#[test]
fn caps() {
    assert_eq!(event(&Take::max_turns(), "result")["subtype"], "error_max_turns");
    assert_eq!(event(&Take::max_budget(), "result")["subtype"], "error_max_budget_usd");
}

#[test]
fn ends_without_a_result() {
    for take in [Take::no_result(), Take::hang(), Take::startup_failure("error: no")] {
        assert!(events(&take).iter().all(|event| event["type"] != "result"));
    }
    assert_eq!(exit(&Take::no_result()), Some(0));
    assert_eq!(exit(&Take::startup_failure("error: no")), Some(1));
    assert!(matches!(Take::hang().steps.last(), Some(Step::Hang)));
}

#[test]
fn steps_can_be_put_in() {
    let take = Take::success("x").first(Step::IgnoreSigterm).then(Step::SleepMs(5));
    assert!(matches!(take.steps[..3], [Step::IgnoreSigterm, Step::Print(_), Step::SleepMs(5)]));
}
