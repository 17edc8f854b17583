//! A concurrency key that is neither field nor option.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", concurrency_key = "repo")]
struct Review {
    repository: String,
}

fn main() {
    let _ = Review::new("api".into(), "review it");
}
