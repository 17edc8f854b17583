//! A key twice, both times wrong: each place has its own error.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", priority = 10, priority = "high")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
