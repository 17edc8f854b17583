//! A classifier in quotes.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", classifier = "mine")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
