//! What the command line calls it, and what the runner sees to.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { dangerously_skip_permissions = true, output_format = "json", cwd = "/repo", api_key = "x" })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
