//! Untrusted text for runs that can only read.

use claude_jobs::prelude::*;

const QUIET: Args = args! { permission_mode = "dont_ask", hermetic = true };
const LOUD: Args = args! { permission_mode = "accept_edits", allowed_tools = ["Bash"] };

#[claude_worker(
    queue = "q",
    prompt = "{number} {body}",
    args = {
        allowed_tools = [
            "Read", "Grep", "Glob(src/**)", "WebFetch(domain:example.com)", "Bash(ls:*)", "Bash(git status *)",
            "Bash(git log --oneline -20)", "Bash(gh pr view {number}:*)",
        ],
        tools = ["Bash", "Read"], disallowed_tools = ["Write"], add_dir = ["../lib"], worktree = "issue-{number}",
        setting_sources = ["user"], strict_mcp_config = true, debug_file = "debug.log",
        mcp_config = [], plugin_dir = [], plugin_url = [], file = [],
        ..QUIET
    },
)]
struct Reading {
    number: u64,
    #[untrusted]
    body: String,
}

/// What the higher layer takes away does not count.
#[claude_worker(
    queue = "q",
    prompt = "{body}",
    args = { ..LOUD },
    pinned_args = { permission_mode = "plan", allowed_tools = [] },
)]
struct Overruled {
    #[untrusted]
    body: String,
}

/// Trusted, and not sure to write: it need not say how often it may run.
#[claude_worker(queue = "q", prompt = "Go.", args = { allowed_tools = ["Bash(cargo test:*)", "mcp__ci__status"], mcp_config = ["ci.json"] })]
struct Trusted;

fn main() {
    let _ = (Reading::new(1, String::new()), Overruled::new(String::new()), Trusted::new());
}
