//! Names of modes and efforts that were nearly right.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", max_attempts = 1, args = { permission_mode = "acceptEdits", effort = "hihg" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
