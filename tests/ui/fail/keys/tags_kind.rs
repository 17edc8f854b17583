//! A tag without quotes.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", tags = ["a", b])]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
