//! A count in quotes.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", max_attempts = "3")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
