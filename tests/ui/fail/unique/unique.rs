//! Uniqueness by names that do not exist, in states that do not exist, without a period.

use claude_jobs::prelude::*;

#[claude_worker(
    queue = "issues",
    unique_period = "5m",
    unique_by = ["worker", "numbr", "model", "a b"],
    unique_states = ["availabel", "executing", "gone"],
)]
struct Implement {
    number: u64,
}

#[claude_worker(queue = "issues", unique_period = 60, unique_by = ["nubmer", "number", "model"])]
struct Triage {
    number: u64,
}

#[claude_worker(queue = "issues", unique_by = ["args"], unique_states = ["available"])]
struct Review;

#[claude_worker(queue = "issues", unique_period = 60, unique_by = [], unique_states = [])]
struct Empty;

fn main() {
    let _ = (Implement::new(1, "x"), Triage::new(1, "x"), Review::new("x"), Empty::new("x"));
}
