//! An enum. What is made of it is no further mistake.

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
    let _ = Choice::new("Review it.").max_turns(5);
    let _ = Choice::describe();
}
