//! A literal schema that is no JSON, in a worker and in a base.

use claude_jobs::prelude::*;

const BASE: Args = args! { json_schema = "{\"type\": \"object\"" };

#[claude_worker(queue = "q", pinned_args = { json_schema = "type: object" })]
struct Ask;

fn main() {
    let _ = (Ask::new("a"), BASE);
}
