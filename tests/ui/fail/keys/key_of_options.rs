//! Claude options where the attribute's own keys stand.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", model = "opus", maxTurns = 3, permision_mode = "plan")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
