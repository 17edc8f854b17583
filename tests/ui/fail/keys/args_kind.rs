//! Options in brackets.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = ["model"])]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
