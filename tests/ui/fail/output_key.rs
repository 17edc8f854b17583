//! `output` is no type, or not the only one to say what the schema is.

use claude_jobs::prelude::*;

const BASE: Args = args! { json_schema = r#"{"type": "object"}"# };

#[claude_worker(queue = "q", output = "Answer")]
struct Text;

#[claude_worker(
    queue = "q",
    output = Vec<u8>,
    args = { json_schema = "{}" },
    pinned_args = { json_schema = "{}" },
)]
struct Twice;

#[claude_worker(queue = "q", output = Vec<u8>, args = { ..BASE })]
struct Hidden;

fn main() {
    let _ = (Text::new("a"), Twice::new("b"), Hidden::new("c"));
}
