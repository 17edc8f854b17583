//! A list of lists.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { add_dir = [["a"]] })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
