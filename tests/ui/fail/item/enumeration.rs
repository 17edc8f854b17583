//! An enum.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
enum Choice {
    One,
    #[json]
    Two {
        #[untrusted]
        body: String,
    },
}

fn main() {
    let _ = Choice::One;
}
