//! The impl in place of the struct.

use claude_jobs::prelude::*;

struct Review;

#[claude_worker(queue = "review")]
impl Review {}

fn main() {}
