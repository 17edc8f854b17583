//! A field whose type cannot be written as JSON.

use claude_jobs::prelude::*;

struct Plain;

#[claude_worker(queue = "review")]
struct Review {
    plain: Plain,
}

fn main() {
    let _ = Review::new(Plain, "review it");
}
