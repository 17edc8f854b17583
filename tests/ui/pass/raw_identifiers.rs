//! Raw identifiers as names of workers, fields and parts of fields.

use claude_jobs::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Kind {
    r#type: String,
}

#[claude_worker(
    queue = "q",
    unique_period = 60,
    unique_by = ["type"],
    concurrency_key = "match",
    prompt = "{type} {match.type} {r}",
    args = { worktree = "{type}" },
)]
#[allow(non_camel_case_types)]
struct r#struct {
    r#type: String,
    r#match: Kind,
    r#r: u8,
}

fn main() {
    let definition = r#struct::DEFINITION;
    assert_eq!((definition.name, definition.fields), ("struct", &["type", "match", "r"][..]));
    let job = r#struct::new("bug".into(), Kind { r#type: "a".into() }, 1).into_new_job().expect("a job");
    assert_eq!(job.input, serde_json::json!({"type": "bug", "match": {"type": "a"}, "r": 1}));
}
