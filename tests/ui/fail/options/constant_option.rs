//! A constant that may be absent.

use claude_jobs::prelude::*;

const MODEL: Option<&str> = Some("opus");

#[claude_worker(queue = "q", args = { model = MODEL })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
