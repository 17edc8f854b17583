//! A `String`, which no constant text is.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { model = String::new() })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
