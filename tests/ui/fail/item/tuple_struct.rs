//! A worker whose fields have no names.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Tuple(u64);

fn main() {
    let _ = Tuple(1);
}
