//! Untrusted text outside of the prompt.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "{body}", args = { append_system_prompt = "{body}", worktree = "x-{body}" })]
struct Outside {
    #[untrusted]
    body: String,
}

fn main() {
    let _ = Outside::new(String::new());
}
