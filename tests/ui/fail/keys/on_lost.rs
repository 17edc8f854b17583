//! A word that `on_lost` does not take.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", on_lost = "resumed")]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
