//! Wrong values of options, where the rest of the definition is right: each is judged on its own.

use claude_jobs::prelude::*;

const MODE: &str = "bypass";

#[claude_worker(
    queue = "review",
    args = { max_turns = -1, max_budget_usd = "2", timeout = "soon", model = " ", tools = "Read" },
    pinned_args = { permission_mode = MODE, allowed_tools = ["Bash("], strict_mcp_config = 1 },
)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
