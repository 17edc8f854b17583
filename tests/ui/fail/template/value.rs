//! Templates that no value can make right.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "{number}", args = { worktree = "issue {number}", effort = "{number}", max_turns = "{number}" })]
struct Options {
    number: u64,
}

#[claude_worker(queue = "q", prompt = "{number}", args = { allowed_tools = ["Read({number}"] })]
struct Tools {
    number: u64,
}

fn main() {
    let _ = (Options::new(7), Tools::new(7));
}
