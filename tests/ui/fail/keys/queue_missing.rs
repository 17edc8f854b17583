//! No queue, in both forms of an attribute without keys.

use claude_jobs::prelude::*;

#[claude_worker]
struct Review;

#[claude_worker()]
struct Triage;

fn main() {
    let _ = (Review::new("review it"), Triage::new("triage it"));
}
