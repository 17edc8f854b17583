//! Keys and texts that name a field which serde leaves out.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", unique_period = 60, unique_by = ["number"], prompt = "Go {number}")]
struct Review {
    #[serde(skip)]
    number: u64,
}

fn main() {
    let _ = Review::new(7);
}
