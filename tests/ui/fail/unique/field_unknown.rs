//! Uniqueness by a field that is nearly there.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", unique_period = 60, unique_by = ["nubmer"])]
struct Review {
    number: u64,
}

fn main() {
    let _ = Review::new(7, "review it");
}
