//! A literal schema with mistakes: each with its place.

use claude_jobs::prelude::*;

#[claude_worker(
    queue = "q",
    args = { json_schema = r#"{
        "type": "object",
        "properties": { "age": { "type": "strng" }, "name": { "minLenght": 1 } },
        "required": "age"
    }"# },
)]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
