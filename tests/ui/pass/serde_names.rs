//! serde's own attributes: a key finds its field under the name that serde writes.

use claude_jobs::prelude::*;
use claude_jobs::unique::UniqueField;

#[claude_worker(
    queue = "q",
    unique_period = "5m",
    unique_by = ["worker", "issue_number", "title"],
    concurrency_key = "repository_name",
)]
#[serde(rename_all = "camelCase")]
struct IssueWork {
    issue_number: u64,
    #[serde(rename = "headline", default)]
    title: String,
    #[serde(rename(serialize = "repo", deserialize = "repo"))]
    repository_name: String,
    #[serde(skip)]
    seen: bool,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

fn main() {
    let definition = IssueWork::DEFINITION;
    let by = definition.unique.expect("uniqueness").by;
    assert_eq!(by[1], UniqueField::Key("issueNumber".into()));
    assert_eq!(by[2], UniqueField::Key("headline".into()));
    assert_eq!(definition.concurrency_key, Some("repo"));

    let job = IssueWork::new(7, "a".into(), "b".into(), true, Default::default(), None, "Go.");
    let input = job.into_new_job().expect("a job").input;
    assert_eq!(input, serde_json::json!({"issueNumber": 7, "headline": "a", "repo": "b"}));
    assert!(IssueWork::registration().read(&input).is_ok());
}
