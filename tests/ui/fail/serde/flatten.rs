//! A key that names a field in whose place serde writes others.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", unique_period = 60, unique_by = ["rest"])]
struct Review {
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, u64>,
}

fn main() {
    let _ = Review::new(Default::default(), "review it");
}
