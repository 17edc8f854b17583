//! A classifier and a backoff that are not functions of the right type.

use claude_jobs::prelude::*;

fn classify(_run: &Run) -> bool {
    true
}

#[claude_worker(queue = "review", classifier = classify, backoff = missing)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
