//! Options in the spelling of JSON and of the command line.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { maxTurns = 3, allowed-tools = ["Read"], --effort = "high", "model" = "opus" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
