//! Keys take the name of the field, not the written one.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", concurrency_key = "issueNumber")]
#[serde(rename_all = "camelCase")]
struct Review {
    issue_number: u64,
}

fn main() {
    let _ = Review::new(7, "review it");
}
