//! A name without a list.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", unique_period = 60, unique_by = "args")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
