//! Catalogue, table 1c: caps and schema. Exit code 1, `subtype: error_…`, texts in `errors`.

use claude_jobs_tests::api::Reply;
use serde_json::json;

use crate::scenario::Scenario;

const SCHEMA: &str = r#"{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}"#;

pub(crate) fn scenarios() -> Vec<Scenario> {
    let list = || Reply::tool("Bash", json!({ "command": "ls", "description": "List" }));
    vec![
        Scenario {
            arguments: &["--max-turns", "2", "--allowed-tools", "Bash"],
            replies: vec![list()],
            ..Scenario::new("max_turns", "--max-turns")
        },
        Scenario {
            arguments: &["--max-budget-usd", "0.01", "--allowed-tools", "Bash"],
            replies: vec![list().tokens(1000, 100_000)],
            ..Scenario::new("max_budget", "--max-budget-usd in the middle")
        },
        Scenario {
            arguments: &["--max-budget-usd", "0.01"],
            replies: vec![Reply::text("All done.").tokens(1000, 100_000)],
            ..Scenario::new("max_budget_on_last_answer", "--max-budget-usd although the answer was complete")
        },
        Scenario {
            arguments: &["--json-schema", SCHEMA],
            replies: vec![Reply::structured(json!({ "answer": 7 }))],
            ..Scenario::new("structured_output_retries", "schema retries exhausted")
        },
    ]
}
