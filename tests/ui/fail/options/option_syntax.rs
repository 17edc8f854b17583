//! Layers that do not read as `key = value, …, ..BASE`.

use claude_jobs::prelude::*;

const BASE: Args = args! { model = "opus" };

#[claude_worker(
    queue = "review",
    args = { model: "opus", effort, max_turns = , tools = ["Read"] bare = 'x', ..BASE, ..BASE, .. },
    pinned_args = "plan",
)]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
