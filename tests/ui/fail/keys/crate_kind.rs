//! The crate in quotes.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", crate = "jobs")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
