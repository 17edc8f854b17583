//! `new` is taken by the worker: a constructor of your own has another name.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Review {
    number: u64,
}

impl Review {
    fn new(number: u64) -> Self {
        Self { number }
    }
}

fn main() {}
