//! An agent on its own: nobody answers its questions, so nothing may be left to a second turn. It works in a
//! worktree of its own, sealed from the machine's configuration, bounded in time, turns and money, and runs
//! once.
//!
//! `cargo run -p claude-jobs-examples --example full_auto` (add `-- --live` for the real claude)

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs_examples::{Outcome, Stage, answer, is_live};

/// The rails. A job cannot leave them.
const RAILS: Args = args! {
    permission_mode = "accept_edits",
    hermetic = "full",
    timeout = "20m",
    idle_timeout = "5m",
    max_turns = 60,
    max_budget_usd = 3.0,
};

/// Does one task to its end.
#[claude_worker(
    queue = "auto",
    max_attempts = 1,
    max_snoozes = 0,
    on_lost = "hold",
    prompt = "{task}",
    pinned_args = {
        ..RAILS,
        worktree = "auto-{id}",
        append_system_prompt = "You run unattended. There is no follow-up turn and nobody to ask: decide what is \
            open yourself, write down what you decided, finish the task, and end with a one-paragraph report. If \
            the task cannot be done, say so and change nothing.",
    },
)]
struct FullAuto {
    id: u64,
    task: String,
}

impl Handler for FullAuto {
    async fn handle_result(&self, report: String, run: &Run, _: &mut Ctx) -> Result<Verdict> {
        println!("task {}: {report}", self.id);
        println!("turns {:?}, cost {:?}, session {:?}", run.turns, run.cost_usd, run.session_id);
        Ok(Verdict::Complete)
    }
}

async fn scripted(request: Request) -> Result<Report, RunnerError> {
    let options = &request.options;
    assert!(options.append_system_prompt.as_deref().is_some_and(|text| text.contains("no follow-up turn")));
    assert_eq!(
        (options.max_turns, options.max_budget_usd),
        (Some(60), Some(3.0)),
        "the job could not change it"
    );
    assert!(options.timeout.is_some() && options.hermetic.is_some() && options.worktree.is_some());
    Ok(answer("Added the missing newline. Decided to leave the tabs."))
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::new().await?;
    let job = FullAuto::new(1, "End README.md with a newline.".into()).max_turns(1_000).max_budget_usd(500.0);
    let id = job.insert(&stage.queue).await?.id();
    stage.runtime(scripted).queue("auto", 1).drain().await?;

    let details = stage.queue.details(id).await?;
    assert_eq!(details.runs.len(), 1, "it runs once, whatever comes of it");
    assert!(details.job.state.is_final());
    if !is_live() {
        assert_eq!(details.job.state, State::Completed);
    }
    println!("\none run, inside its rails: {}", details.job.state);
    Ok(())
}
