//! The beginning of a mode's name.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", pinned_args = { permission_mode = "bypass" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
