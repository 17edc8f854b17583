//! A call that is not constant.

use claude_jobs::prelude::*;

fn model() -> &'static str {
    "opus"
}

#[claude_worker(queue = "q", args = { model = model() })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
