//! A function.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
fn review() {}

fn main() {
    review();
}
