//! A job without a prompt does not compile; nor does one prompt too many.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Review;

#[claude_worker(queue = "review", prompt = "Review it.")]
struct Routine;

fn main() {
    let _ = (Review::new(), Routine::new("review it"));
}
