//! A session id that is no UUID.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { session_id = "nightly" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
