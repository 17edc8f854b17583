//! Values out of range.

use claude_jobs::prelude::*;

#[claude_worker(
    queue = "",
    name = "a b",
    max_attempts = 0,
    max_snoozes = 1001,
    priority = 10,
    tags = ["ok", "\n"],
)]
struct Review;

#[claude_worker(queue = "review", unique_period = 0)]
struct Zero;

#[claude_worker(queue = "review", unique_period = "500ms")]
struct Short;

fn main() {
    let _ = (Review::new("review it"), Zero::new("x"), Short::new("x"));
}
