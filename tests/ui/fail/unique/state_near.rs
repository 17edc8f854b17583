//! A state that is nearly there.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", unique_period = 60, unique_states = ["availabel"])]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
