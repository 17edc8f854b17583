//! A tag without a list.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", tags = "a")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
