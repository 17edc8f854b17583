//! A key whose written name depends on the build.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", concurrency_key = "number")]
struct Review {
    #[cfg_attr(all(), serde(rename = "id"))]
    number: u64,
}

fn main() {
    let _ = Review::new(7, "review it");
}
