//! Values of the wrong kind.

use claude_jobs::prelude::*;

#[claude_worker(
    queue = review,
    name = 3,
    max_attempts = "3",
    max_snoozes = -1,
    priority = 0.5,
    unique_period = true,
    unique_by = "args",
    tags = ["a", b],
    classifier = "mine",
    backoff = |attempt| Duration::from_secs(attempt),
)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
