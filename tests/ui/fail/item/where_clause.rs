//! A worker with a where clause.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Bound
where
    u64: Copy,
{
    number: u64,
}

fn main() {
    let _ = Bound::new(1, "Review it.").max_turns(5);
}
