//! Commas that are missing.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q" max_attempts = 3 args = { model = "opus" max_turns = 3 })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
