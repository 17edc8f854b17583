//! Keys in the spelling of JSON and of the command line.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", maxAttempts = 3, max-snoozes = 2, --priority = 1, "tags" = ["a"])]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
