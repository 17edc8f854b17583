//! A field that borrows for ever cannot be read back.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Review {
    title: &'static [u8; 2],
}

fn main() {
    let _ = Review::new(b"ab", "review it");
}
