//! A literal schema of something that claude cannot answer with, or that is none.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", args = { json_schema = r#"{"type": "array", "items": {"type": "string"}}"# })]
struct List;

#[claude_worker(queue = "q", args = { json_schema = "[]" })]
struct NoSchema;

#[claude_worker(queue = "q", args = { json_schema = 3 })]
struct NoText;

fn main() {
    let _ = (List::new("a"), NoSchema::new("b"), NoText::new("c"));
}
