//! A placeholder that is no field: a slip, none at all, and in an option.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "Issue {nubmer}: {title} {number}")]
struct Slip {
    number: u64,
    title: String,
}

#[claude_worker(queue = "q", prompt = "Issue {number}")]
struct Unit;

#[claude_worker(queue = "q", args = { worktree = "issue-{id}" })]
struct InOption {
    number: u64,
}

fn main() {
    let _ = (Slip::new(7, String::new()), Unit::new(), InOption::new(7, "go"));
}
