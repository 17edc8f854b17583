//! A derive above the attribute is done before the worker can see it.

use claude_jobs::prelude::*;

#[derive(claude_jobs::serde::Serialize)]
#[serde(crate = "claude_jobs::serde")]
#[claude_worker(queue = "review")]
struct Review {
    number: u64,
}

fn main() {
    let _ = Review::new(7, "review it");
}
