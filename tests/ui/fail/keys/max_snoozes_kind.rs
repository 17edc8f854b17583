//! A count below nothing.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", max_snoozes = -1)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
