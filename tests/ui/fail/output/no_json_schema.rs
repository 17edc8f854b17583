//! The type of the answers can be read, but not described.

use claude_jobs::prelude::*;

#[derive(Deserialize)]
#[allow(dead_code)]
struct Answer {
    number: u64,
}

#[claude_worker(queue = "q", output = Answer)]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
