//! Every key of the attribute, fields, a handler, and derives of the user's own.

use std::time::Duration;

use claude_jobs::options::ArgMap;
use claude_jobs::prelude::*;
use serde::Deserialize;

const BASE: Args = args! { model = "sonnet", max_turns = 20 };
const TURNS: u32 = 40;
const TOOLS: &[&str] = &["Read", "Grep"];
const SOURCES: [&str; 1] = ["project"];

#[derive(Clone, Debug, serde::Serialize, Deserialize, PartialEq)]
struct Label {
    name: String,
}

/// Writes the code for an issue.
#[claude_worker(
    queue = "issues",
    name = "issue-work",
    max_attempts = 1,
    max_snoozes = 0,
    priority = 9,
    unique_period = "1h30m",
    unique_by = ["worker", "number", "model"],
    unique_states = ["scheduled", "available", "executing"],
    tags = ["code", "issues"],
    args = {
        ..BASE,
        max_turns = TURNS,
        allowed_tools = TOOLS,
        disallowed_tools = ["Bash(rm:*)", concat!("Web", "Fetch")],
        timeout = Duration::from_secs(900),
        setting_sources = SOURCES,
        bare = false,
        append_system_prompt = concat!("Be ", "brief."),
    },
    pinned_args = { permission_mode = "plan", max_budget_usd = 2 },
    classifier = classify,
    backoff = slow,
)]
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IssueWork {
    number: u64,
    r#type: Option<String>,
    #[serde(default)]
    issue_labels: Vec<Label>,
    #[cfg(not(all()))]
    never: Missing,
    prompt_of_user: String,
}

impl Handler for IssueWork {
    async fn handle_result(&self, output: String, _run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.enqueue(IssueWork::new(self.number + 1, None, vec![], output, "go on"));
        Ok(Verdict::Complete)
    }
}

fn classify(run: &Run) -> Verdict {
    claude_jobs::classify::default(run)
}

fn slow(attempt: u32) -> Duration {
    Duration::from_secs(u64::from(attempt))
}

fn main() {
    let label = Label { name: "bug".into() };
    let job = IssueWork::new(87, None, vec![label], "fix it".into(), "do it").into_new_job().expect("a job");
    assert_eq!(job.worker, "issue-work");
    assert_eq!(job.input["issueLabels"][0]["name"], "bug");

    let definition = IssueWork::DEFINITION;
    assert_eq!((definition.max_attempts, definition.max_snoozes, definition.priority), (1, 0, 9));
    assert_eq!(definition.tags, ["code", "issues"]);
    assert_eq!(definition.fields, ["number", "type", "issue_labels", "prompt_of_user"]);
    let unique = definition.unique.expect("uniqueness");
    assert_eq!((unique.period, unique.by.len()), (5_400, 3));
    assert_eq!(unique.states, [State::Scheduled, State::Available, State::Executing]);
    assert_eq!((definition.backoff)(7), Duration::from_secs(7));

    let args = ArgMap::from(definition.args);
    assert_eq!(args.get("model"), Some(&"sonnet".into()));
    assert_eq!(args.get("max_turns"), Some(&40.into()));
    assert_eq!(args.get("disallowed_tools").map(|tools| tools[1] == "WebFetch"), Some(true));
    assert_eq!(ArgMap::from(definition.pinned_args).get("permission_mode"), Some(&"plan".into()));
}
