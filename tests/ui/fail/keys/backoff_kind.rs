//! A backoff that is a closure.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", backoff = |attempt| Duration::from_secs(attempt))]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
