//! Keys without values, and a value that breaks off.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", priority, tags = , classifier = my::, args = { model = })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
