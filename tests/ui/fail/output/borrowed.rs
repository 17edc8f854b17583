//! An answer is owned.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", output = &str)]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
