//! A union.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
union Either {
    one: u32,
    #[json]
    other: f32,
}

fn main() {}
