//! Keys in `args` that can never count.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { model = "opus", max_turns = 3 }, pinned_args = { model = "haiku", max_turns = 4 })]
struct Twice;

fn main() {
    let _ = Twice::new("go");
}
