//! Keys that are given twice.

use claude_jobs::prelude::*;

#[claude_worker(queue = "a", queue = "b", args = { model = "opus", model = "haiku" }, args = {})]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
