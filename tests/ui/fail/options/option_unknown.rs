//! Options that do not exist: near to one, near to none, a key of the attribute.

use claude_jobs::prelude::*;

#[claude_worker(
    queue = "review",
    args = { modle = "opus", verbose = true, overlaid_with = 3, max_attempts = 3 },
)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
