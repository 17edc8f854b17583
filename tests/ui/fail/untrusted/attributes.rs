//! The fields' attributes take nothing; the key takes a truth value.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "{body} {labels}", allow_untrusted_writes = "yes")]
struct Arguments {
    #[untrusted(always)]
    body: String,
    #[json = "pretty"]
    labels: Vec<String>,
}

fn main() {
    let _ = Arguments::new(String::new(), vec![]);
}
