//! A literal schema in a dialect that claude does not read.

use claude_jobs::prelude::*;

#[claude_worker(
    queue = "q",
    args = { json_schema = r##"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "pair": { "type": "array", "prefixItems": [{}, {}] },
            "other": { "$ref": "#/definitions/Other" }
        }
    }"## },
)]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
