//! An option that jobs do not have.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Review;

fn main() {
    let _ = Review::new("review it").max_turn(3);
}
