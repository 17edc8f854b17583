//! A number that is worked out, and is out of range.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { timeout = 60 * 60 * 24 * 365, max_turns = 3 - 3 })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
