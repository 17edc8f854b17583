//! A key of a struct that serde writes as its only field.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", concurrency_key = "number")]
#[serde(transparent)]
struct Review {
    number: u64,
}

fn main() {
    let _ = Review::new(7, "review it");
}
