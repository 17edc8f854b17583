//! Tool patterns that do not parse: the first wrong one is named.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { allowed_tools = ["Read", "Bash(git log"], disallowed_tools = ["Read,Write"] })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
