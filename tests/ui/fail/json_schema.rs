//! Literal schemas that are none: the error is at the literal and names the place in the schema.

use claude_jobs::prelude::*;

const BASE: Args = args! { json_schema = "{\"type\": \"object\"" };

#[claude_worker(
    queue = "q",
    args = { json_schema = r#"{
        "type": "object",
        "properties": { "age": { "type": "strng" }, "name": { "minLenght": 1 } },
        "required": "age"
    }"# },
    pinned_args = { json_schema = r#"{"type": "array", "items": {}}"# },
)]
struct Wrong;

#[claude_worker(queue = "q", args = { json_schema = 3, max_turns = 0 })]
struct NoText;

#[claude_worker(queue = "q", args = { json_schema = "[]", ..BASE })]
struct NoObject;

fn main() {
    let _ = (Wrong::new("a"), NoText::new("b"), NoObject::new("c"));
}
