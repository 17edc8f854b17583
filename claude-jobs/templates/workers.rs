//! The workers of this program: each struct is a kind of job, its fields are the job's input.

use claude_jobs::prelude::*;

pub use app::App;
mod app;
#[cfg(test)]
mod tests;

/// Implements an issue in a git worktree of its own, and commits the change there.
#[claude_worker(
    queue = "issues",
    state = App,            // the handler takes it from the runtime: `main` gives it
    max_attempts = 1,       // it can write: a second attempt would be a second paid run that writes
    unique_period = "24h",  // an issue that is inserted twice is worked on once
    unique_by = ["worker", "number"],
    on_lost = "resume",     // a deploy or a dead machine in the middle: the same session goes on
    allow_untrusted_writes, // anybody may write an issue, so the limits below must be enough
    prompt = "Implement issue {number}: {title}\n\n{body}\n\nCommit the change; do not push. \
              If it cannot be done, change nothing and answer with BLOCKED: and the reason.",
    pinned_args = {
        worktree = "issue-{number}",
        permission_mode = "accept_edits",
        allowed_tools = ["Bash(git add:*)", "Bash(git commit:*)", "Bash(git status:*)"],
        max_turns = 40,
        max_budget_usd = 2.0,
        timeout = "30m",
    },
)]
pub struct IssueWork {
    /// The issue's number.
    pub number: u64,
    /// Its title.
    #[untrusted]
    pub title: String,
    /// Its text.
    #[untrusted]
    pub body: String,
}

impl Handler for IssueWork {
    async fn handle_result(&self, answer: String, _run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.state::<App>().keep(self.number, &answer).await?; // fails: only this handler runs again
        Ok(match answer.trim().strip_prefix("BLOCKED:") {
            Some(reason) => Verdict::cancel(reason.trim()),
            None => Verdict::Complete,
        })
    }
}
