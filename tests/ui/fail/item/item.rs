//! Items that cannot be workers.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Generic<T> {
    input: T,
}

#[claude_worker(queue = "review")]
struct Tuple(u64);

#[claude_worker(queue = "review")]
enum Choice {
    One,
}

#[claude_worker(queue = "review")]
union Either {
    one: u32,
    other: f32,
}

#[claude_worker(queue = "review")]
fn function() {}

fn main() {
    let _ = (Tuple(1), Choice::One, function());
}
