//! Values of the wrong type for `new` and for an option.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Review {
    number: u64,
}

fn main() {
    let _ = Review::new("7", "review it");
    let _ = Review::new(7, "review it").max_turns("3");
}
