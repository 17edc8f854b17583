//! Typed answers of the real CLI, against the stand-in of the API.

use std::collections::BTreeMap;

use claude_jobs::output::OutputSchema;
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::Sandbox;

use super::*;

on_each_claude! {
    async a_typed_answer, an_answer_is_repaired_in_its_session, text_in_place_of_an_answer_is_repaired_too,
    an_answer_that_is_wrong_twice_is_retried_with_both_costs, answers_that_the_cli_refuses_are_repaired_too,
    the_cli_takes_the_schemas_of_all_types,
}

/// A job of this worker, run by the real CLI that is answered so.
async fn run_by_the_real_cli<W: Worker>(
    claude: RealClaude,
    job: claude_jobs::JobBuilder<W>,
    replies: impl IntoIterator<Item = Reply>,
) -> (JobDetails, Api) {
    let (sandbox, api) = (Sandbox::new(), Api::start(replies));
    let folder = sandbox.folder("work");
    let binary = claude.path();
    let builder = ClaudeCli::builder().binary(binary.to_str().expect("UTF-8"));
    let env = sandbox.env(&api.url());
    let claude = env.iter().fold(builder, |builder, (name, value)| builder.env(name, value)).build();
    let details = drained(job.working_dir(folder.to_str().expect("UTF-8")), claude).await;
    (details, api)
}

/// Claude does not look at formats; we do.
fn no_moment() -> Value {
    json!({"outcome": "fix", "summary": "An easy one.", "due": "tomorrow-ish"})
}

async fn a_typed_answer(claude: RealClaude) {
    let (details, api) = run_by_the_real_cli(claude, Triage::new(), [Reply::structured(right())]).await;
    assert_eq!(
        (details.job.state, &details.job.meta["summary"]),
        (State::Completed, &json!("An easy one.")),
        "{details:?}"
    );
    assert_eq!(only_run(&details).1, "exit 0");
    let tool = api.requests()[0].tool("StructuredOutput").cloned().expect("the CLI offers the tool");
    assert_eq!(tool["input_schema"]["properties"]["summary"]["description"], "In one sentence.");
}

async fn an_answer_is_repaired_in_its_session(claude: RealClaude) {
    let replies = [Reply::structured(no_moment()), Reply::structured(right())];
    let (details, api) = run_by_the_real_cli(claude, Triage::new(), replies).await;
    assert_eq!((details.job.state, details.job.attempt), (State::Completed, 1), "{details:?}");
    assert_eq!(only_run(&details), ("success", "exit 0, after a repair", Some(0.00088)));
    assert_eq!(details.runs[0].turns, Some(4));
    let requests = api.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].mentions("Sort the issue."), "the conversation goes on");
    assert!(requests[1].mentions("`/due`: \"tomorrow-ish\" is not a \"date-time\""));
    assert_eq!(requests[1].tool("StructuredOutput"), requests[0].tool("StructuredOutput"));
}

async fn text_in_place_of_an_answer_is_repaired_too(claude: RealClaude) {
    let text = || Reply::text("I would rather talk.");
    let (details, api) =
        run_by_the_real_cli(claude, Triage::new(), [text(), text(), Reply::structured(right())]).await;
    assert_eq!(only_run(&details), ("success", "exit 0, after a repair", Some(0.00132)), "{details:?}");
    assert_eq!(api.requests().len(), 3, "the CLI asks once more by itself");
}

async fn an_answer_that_is_wrong_twice_is_retried_with_both_costs(claude: RealClaude) {
    let (details, api) = run_by_the_real_cli(claude, Triage::new(), [Reply::structured(no_moment())]).await;
    assert_eq!((details.job.state, details.job.counted_attempts()), (State::Retryable, 1), "{details:?}");
    assert_eq!(only_run(&details), ("output_mismatch", "exit 0, after a repair", Some(0.00088)));
    let message = &details.errors[0].message;
    assert_eq!(message, "the answer breaks `/properties/due/format` of the JSON Schema; after a repair");
    assert_eq!(api.requests().len(), 2);
}

/// The CLI has told claude five times what is wrong before it gives up; its session is repaired all the same,
/// because another attempt would do the task again.
async fn answers_that_the_cli_refuses_are_repaired_too(claude: RealClaude) {
    let refused = || Reply::structured(wrong());
    let replies = [refused(), refused(), refused(), refused(), refused(), Reply::structured(right())];
    let (details, api) = run_by_the_real_cli(claude, Triage::new(), replies).await;
    assert_eq!(only_run(&details), ("success", "exit 0, after a repair", Some(0.00264)), "{details:?}");
    assert!(api.requests()[5].mentions("Failed to provide valid structured output"));
}

/// As much of schemars as there is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars", extend("x-mine" = true))]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only read")]
struct Rich {
    tuple: (String, u8),
    map: BTreeMap<i32, Option<bool>>,
    #[schemars(length(min = 1), regex(pattern = "^[a-z]+$"))]
    word: String,
    #[serde(default)]
    tree: Option<Box<Tree>>,
    tagged: Tagged,
    untagged: Untagged,
    /// Old.
    #[deprecated]
    old: Option<f32>,
    list: [u64; 2],
    any: Value,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
#[allow(dead_code, reason = "only read")]
struct Tree {
    children: Vec<Tree>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
#[serde(tag = "type", content = "of")]
#[allow(dead_code, reason = "only read")]
enum Tagged {
    Nothing,
    One(String),
    Many { of: Vec<Tree> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
#[serde(untagged)]
#[allow(dead_code, reason = "only read")]
enum Untagged {
    Number(i64),
    Text(String),
}

#[claude_worker(queue = "tests", output = Rich, prompt = "Be rich.")]
struct Richly;

#[claude_worker(queue = "tests", output = Vec<Tree>, prompt = "Grow.")]
struct Forest;

#[claude_worker(queue = "tests", output = Tagged, prompt = "Choose.")]
struct Choice;

async fn the_cli_takes_the_schemas_of_all_types(claude: RealClaude) {
    let rich = json!({
        "tuple": ["a", 1], "map": {"-1": null}, "word": "word", "tree": {"children": [{"children": []}]},
        "tagged": {"type": "Many", "of": {"of": []}}, "untagged": "text", "old": 1.5, "list": [1, 2], "any": [{}],
    });
    let (details, _) = run_by_the_real_cli(claude, Richly::new(), [Reply::structured(rich)]).await;
    assert_eq!(only_run(&details).1, "exit 0", "{details:?}");
    let forest = json!({"value": [{"children": [{"children": []}]}]});
    let (details, _) = run_by_the_real_cli(claude, Forest::new(), [Reply::structured(forest)]).await;
    assert_eq!(only_run(&details).1, "exit 0", "{details:?}");
    let choice = json!({"value": {"type": "One", "of": "a"}});
    let (details, _) = run_by_the_real_cli(claude, Choice::new(), [Reply::structured(choice)]).await;
    assert_eq!(only_run(&details).1, "exit 0", "{details:?}");
    let schema = OutputSchema::of::<Rich>().expect("a schema");
    assert!(schema.text().contains("#/definitions/Tree") && !schema.text().contains("x-mine"), "{schema}");
}
