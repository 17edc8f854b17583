//! A worker with a type parameter.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Generic<T> {
    input: T,
}

fn main() {}
