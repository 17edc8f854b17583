//! A worker that borrows.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Borrowed<'a> {
    title: &'a str,
}

fn main() {
    let _ = Borrowed::new("A title", "Review it.");
}
