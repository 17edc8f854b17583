//! A worktree's name that git would not take.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { worktree = "a b" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
