//! Arguments that are no keys.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", "review", 3)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
