//! Values behind a colon and in parentheses.

use claude_jobs::prelude::*;

#[claude_worker(queue("review"), max_attempts: 3)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
