//! Attributes of fields on the struct.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
#[untrusted]
#[json]
struct Review {
    number: u64,
}

fn main() {
    let _ = Review::new(7, "review it");
}
