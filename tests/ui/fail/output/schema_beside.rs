//! The type says what the schema is; another one beside it is too much.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", output = Vec<u8>, args = { json_schema = "{}" })]
struct InArgs;

#[claude_worker(queue = "q", output = Vec<u8>, pinned_args = { json_schema = SCHEMA })]
struct Pinned;

const SCHEMA: &str = "{}";

fn main() {
    let _ = (InArgs::new("a"), Pinned::new("b"));
}
