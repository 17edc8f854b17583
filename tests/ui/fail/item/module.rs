//! A module.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
mod review {}

fn main() {}
