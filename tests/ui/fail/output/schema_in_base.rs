//! The schema beside the type hides in a base.

use claude_jobs::prelude::*;

const BASE: Args = args! { model = "opus", json_schema = r#"{"type": "object"}"# };

#[claude_worker(queue = "q", output = Vec<u8>, args = { ..BASE })]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
