//! Plan, implement, merge when green: three workers, one after the other, in one git worktree that they share
//! by its name. While the checks of the change are pending, the last one snoozes: that uses no attempt, but each
//! look is a run.
//!
//! `cargo run -p claude-jobs-examples --example pipeline` (add `-- --live` for the real claude)

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs_examples::{Outcome, Stage, answer};

/// What all steps have in common.
const STEP: Args = args! { max_turns = 20, max_budget_usd = 1.0, timeout = "10m" };

/// The first step reads.
#[claude_worker(
    queue = "pipeline",
    prompt = "Plan this change, in three sentences: {change}",
    concurrency_key = "worktree",
    args = { ..STEP, worktree = "change-{id}", permission_mode = "plan" },
)]
struct Plan {
    id: u64,
    change: String,
}

impl Handler for Plan {
    async fn handle_result(&self, plan: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        println!("planned:     {plan}");
        cx.enqueue(Implement::new(self.id, plan));
        Ok(Verdict::Complete)
    }
}

/// The second step writes, where the first one has read.
#[claude_worker(
    queue = "pipeline",
    max_attempts = 1,
    prompt = "Implement this plan and commit it:\n\n{plan}",
    concurrency_key = "worktree",
    args = { ..STEP, worktree = "change-{id}", permission_mode = "accept_edits" },
)]
struct Implement {
    id: u64,
    plan: String,
}

impl Handler for Implement {
    async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        println!("implemented: {text}");
        cx.enqueue(Merge::new(self.id));
        Ok(Verdict::Complete)
    }
}

/// The last step: the run looks at the change, the handler at the checks.
#[claude_worker(
    queue = "pipeline",
    max_attempts = 1,
    max_snoozes = 10,
    prompt = "Say in one sentence whether the last commit is ready to be merged.",
    concurrency_key = "worktree",
    args = { ..STEP, worktree = "change-{id}", permission_mode = "plan" },
)]
struct Merge {
    id: u64,
}

impl Handler for Merge {
    async fn handle_result(&self, text: String, _: &Run, _: &mut Ctx) -> Result<Verdict> {
        Ok(match checks_of(self.id) {
            Checks::Pending => {
                println!("waiting:     the checks are pending");
                Verdict::snooze(Duration::from_millis(100), "checks are pending")
            }
            Checks::Green => {
                println!("merged:      {text}");
                Verdict::Complete
            }
        })
    }
}

enum Checks {
    Pending,
    Green,
}

/// Stands for a question to your CI, such as `gh pr checks`: pending twice, then green.
fn checks_of(_change: u64) -> Checks {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    if ASKED.fetch_add(1, Ordering::SeqCst) < 2 { Checks::Pending } else { Checks::Green }
}

async fn scripted(request: Request) -> Result<Report, RunnerError> {
    Ok(answer(match request.prompt() {
        prompt if prompt.starts_with("Plan") => "Find the loop, bound it, test it.",
        prompt if prompt.starts_with("Implement") => "The loop is bounded.",
        _ => "It is ready.",
    }))
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::new().await?;
    Plan::new(7, "the retry loop never ends".into()).insert(&stage.queue).await?;

    let done = async {
        loop {
            let jobs = stage.queue.list(&Filter::default()).await?;
            if jobs.iter().all(|job| job.state.is_final()) {
                return Ok::<_, claude_jobs::Error>(jobs);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut jobs = Ok(Vec::new());
    stage.runtime(scripted).queue("pipeline", 2).run_until(async { jobs = done.await }).await?;

    let mut jobs = jobs?;
    jobs.sort_by_key(|job| job.id);
    let steps: Vec<_> = jobs.iter().map(|job| (job.worker.as_str(), job.state)).collect();
    assert_eq!(
        steps,
        [("Plan", State::Completed), ("Implement", State::Completed), ("Merge", State::Completed)]
    );
    assert!(
        jobs.iter().all(|job| job.concurrency_key.as_deref() == Some("worktree=change-7")),
        "one worktree"
    );
    assert_eq!(stage.queue.details(jobs[2].id).await?.runs.len(), 3, "two snoozes, none of them an attempt");
    println!("\nthree steps, one worktree, no paid run while the checks were pending but the look itself");
    Ok(())
}
