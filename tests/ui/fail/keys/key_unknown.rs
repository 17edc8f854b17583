//! Keys that do not exist: near to one, options at the top level.

use claude_jobs::prelude::*;

#[claude_worker(quue = "review", max_attempt = 3, model = "opus", promt = "Review it.")]
struct Review;

fn main() {
    let _ = Review::new();
}
