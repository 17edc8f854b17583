//! A key that is like no other.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", colour = "red")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
