//! Attributes of fields where no worker is.

use claude_jobs::prelude::*;

struct Review {
    #[untrusted]
    body: String,
    #[json]
    labels: Vec<String>,
}

fn main() {
    let _ = Review { body: String::new(), labels: vec![] };
}
