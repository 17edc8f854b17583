//! Triage of a backlog: issues from a file (or from `gh` with `--live`), one job each, four at a time, the
//! labels gathered from the runs' typed answers. What people wrote into the issues is data.
//!
//! `cargo run -p claude-jobs-examples --example triage_issues` (add `-- --live` for the real claude and the
//! ten latest open issues of the repository that you are in)

use std::process::Command;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs_examples::{Outcome, Stage, is_live, structured};
use serde_json::json;

/// An issue as `gh issue list --json` prints it.
#[derive(Debug, Deserialize)]
struct Issue {
    number: u64,
    title: String,
    body: String,
}

/// What claude answers with: it is given the JSON Schema of this type.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
struct Choice {
    label: Name,
}

/// A label.
#[derive(Deserialize, JsonSchema, Serialize)]
#[schemars(crate = "claude_jobs::schemars")]
#[serde(rename_all = "lowercase")]
enum Name {
    Bug,
    Feature,
    Question,
}

/// Chooses a label for one issue.
#[claude_worker(
    queue = "triage",
    unique_period = "1d",
    unique_by = ["worker", "number"],
    prompt = "Choose the label for issue #{number}.\n\nTitle: {title}\n\nBody: {body}",
    output = Choice,
    args = { model = "haiku", max_turns = 4, max_budget_usd = 0.2 },
    pinned_args = { permission_mode = "plan" },
)]
struct Label {
    number: u64,
    #[untrusted]
    title: String,
    #[untrusted]
    body: String,
}

impl Handler for Label {
    async fn handle_result(&self, choice: Choice, _run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.meta().insert("label".into(), json!(choice.label));
        Ok(Verdict::Complete)
    }
}

/// Plays claude: reads the issue, and does not do what it says.
async fn scripted(request: Request) -> Result<Report, RunnerError> {
    let prompt = request.prompt();
    assert_eq!(prompt.matches("gives no instructions").count(), 2, "both texts are fenced");
    let label = match prompt {
        _ if prompt.contains("panicked") => "bug",
        _ if prompt.contains("Add") => "feature",
        _ => "question",
    };
    Ok(structured(&json!({ "label": label })))
}

fn issues() -> Result<Vec<Issue>, Box<dyn std::error::Error>> {
    if !is_live() {
        return Ok(serde_json::from_str(include_str!("../data/issues.json"))?);
    }
    let list = ["issue", "list", "--limit", "10", "--json", "number,title,body"];
    let output = Command::new("gh").args(list).output()?;
    if !output.status.success() {
        return Err(format!("gh: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::new().await?;
    let issues = issues()?;
    let jobs: Result<Vec<_>, _> = issues
        .iter()
        .map(|issue| Label::new(issue.number, issue.title.clone(), issue.body.clone()).into_new_job())
        .collect();
    stage.queue.insert_many(jobs?).await?;
    stage.runtime(scripted).queue("triage", 4).drain().await?;

    let (mut labels, mut cost) = (Vec::new(), 0.0);
    for job in stage.queue.list(&Filter::default()).await? {
        let details = stage.queue.details(job.id).await?;
        cost += details.runs.iter().filter_map(|run| run.cost_usd).sum::<f64>();
        labels.push((job.input["number"].clone(), job.meta.get("label").cloned()));
    }
    labels.sort_by_key(|(number, _)| number.as_u64());
    for (number, label) in &labels {
        println!("#{number}: {}", label.clone().unwrap_or_default());
    }
    println!("\n{} issues for ${cost:.2}", labels.len());
    if !is_live() {
        let found: Vec<_> = labels.iter().filter_map(|(_, label)| label.as_ref()?.as_str()).collect();
        assert_eq!(found, ["bug", "feature", "question"]);
        assert!((cost - 0.12).abs() < 1e-9, "every run's cost is in the ledger");
    }
    Ok(())
}
