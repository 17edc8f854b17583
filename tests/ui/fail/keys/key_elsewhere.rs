//! What other tools call it, and what has no key at all.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", retries = 3, schedule = "@daily", dangerously_skip_permissions = true, env = "A=1")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
