//! A queue without quotes.

use claude_jobs::prelude::*;

#[claude_worker(queue = review)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
