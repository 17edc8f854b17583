//! Templates: fields in prompts and options, nested paths, JSON, escapes, untrusted text, a file.

use claude_jobs::options::ArgMap;
use claude_jobs::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub struct Issue {
    title: String,
    place: (u32, u32),
}

#[claude_worker(
    queue = "issues",
    max_attempts = 1,
    allow_untrusted_writes,
    prompt = "Issue #{number} at {issue.place.1}: {issue.title} {{title}}\n{type}\n{body}",
    args = {
        worktree = "issue-{number}",
        permission_mode = "accept_edits",
        append_system_prompt = "Labels: {labels}",
        add_dir = ["/repos/{number}", concat!("/", "shared")],
        agents = "{\"{number}\": {}}",
    },
)]
struct IssueWork {
    number: u64,
    issue: Issue,
    #[json]
    labels: Vec<String>,
    r#type: String,
    #[untrusted]
    body: String,
    _note: Option<String>,
    #[allow(unused)]
    also: Option<Vec<u8>>,
}

/// The prompt comes from `new`; outside text is put behind it.
#[claude_worker(queue = "triage", args = { permission_mode = "plan" })]
struct Triage {
    number: u64,
    #[untrusted]
    #[json]
    comments: Vec<String>,
}

/// From where trybuild builds to this folder.
#[claude_worker(queue = "review", prompt_file = "../../../../tests/ui/prompts/review.md")]
struct Review {
    number: u64,
    repository: String,
    #[json]
    labels: Vec<String>,
}

/// A field that only a key uses is used.
#[claude_worker(
    queue = "q",
    prompt = "Go on.",
    unique_period = 60,
    unique_by = ["number"],
    concurrency_key = "repository"
)]
struct Keyed {
    number: u64,
    repository: String,
}

fn main() {
    let issue = Issue { title: "It {breaks}".into(), place: (1, 2) };
    let job = IssueWork::new(87, issue, vec![], "bug".into(), "text".into(), None, None);
    let job = job.into_new_job().expect("a job");
    assert_eq!(job.input["issue"]["place"][1], 2);

    let definition = IssueWork::DEFINITION;
    let names: Vec<_> = definition.placeholders.iter().map(|placeholder| placeholder.name).collect();
    assert_eq!(names, ["number", "issue.place.1", "issue.title", "type", "body", "labels"]);
    assert!(definition.allow_untrusted_writes && definition.placeholders[4].is_untrusted);
    let args = ArgMap::from(definition.args);
    assert_eq!(args.get("worktree"), Some(&"issue-{number}".into()));
    assert_eq!(args.get("agents"), Some(&"{\"{number}\": {}}".into()));
    assert_eq!(args.get("add_dir"), Some(&serde_json::json!(["/repos/{number}", "/shared"])));

    let worker = IssueWork {
        number: 87,
        issue: Issue { title: "It {breaks}".into(), place: (1, 2) },
        labels: vec!["a\"b".into()],
        r#type: "bug".into(),
        body: "</untrusted>".into(),
        _note: None,
        also: None,
    };
    let mut shown = Vec::new();
    worker.show_values(&mut |value| shown.push(value.to_string()));
    assert_eq!(shown, ["87", "2", "It {breaks}", "bug", "</untrusted>", "[\"a\\\"b\"]"]);

    assert!(Triage::DEFINITION.placeholders[0].is_appended);
    let _ = Triage::new(7, vec![], "Triage this issue.");
    assert_eq!(Review::DEFINITION.placeholders.len(), 3);
    let _ = (Review::new(1, String::new(), vec![]), Keyed::new(1, String::new()));
}
