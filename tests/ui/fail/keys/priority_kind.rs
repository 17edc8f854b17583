//! Half a priority.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", priority = 0.5)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
