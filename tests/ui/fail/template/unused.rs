//! Fields that no text uses.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "Issue {number}")]
struct Unused {
    number: u64,
    title: String,
    #[untrusted]
    body: String,
}

fn main() {
    let _ = Unused::new(7, String::new(), String::new());
}
