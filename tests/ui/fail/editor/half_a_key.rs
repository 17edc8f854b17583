//! Half a key.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", pri)]
struct Review {
    number: u64,
}

impl Handler for Review {}

fn main() {
    let review = Review::new(7, "review it").max_turns(3);
    let _ = (review, Review { number: 7 }.number);
}
