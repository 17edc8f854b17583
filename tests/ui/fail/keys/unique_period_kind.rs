//! A period that is no time.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", unique_period = true)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
