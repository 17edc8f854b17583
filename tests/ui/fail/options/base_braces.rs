//! A base that is no constant layer.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { ..{ model = "opus" } })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
