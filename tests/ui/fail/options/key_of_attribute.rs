//! Keys of the attribute where options stand.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { queue = "review", max_attempts = 3, uniquePeriod = 60 }, pinned_args = { cron = "@daily" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
