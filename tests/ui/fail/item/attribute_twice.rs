//! The attribute twice on one struct.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
#[claude_worker(queue = "triage")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
