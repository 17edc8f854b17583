//! Keys without values, and arguments that are no keys.

use claude_jobs::prelude::*;

#[claude_worker(queue("review"), priority, tags = , "review", max_attempts: 3, name = "n" max_snoozes = 2)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
