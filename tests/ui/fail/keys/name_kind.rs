//! A name that is a number.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", name = 3)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
