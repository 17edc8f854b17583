//! A type alias.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
type Review = u64;

fn main() {
    let _: Review = 1;
}
