//! The type of the answers can be described, but not read.

use claude_jobs::prelude::*;

#[derive(JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
#[allow(dead_code)]
struct Answer {
    number: u64,
}

#[claude_worker(queue = "q", output = Vec<Answer>)]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
