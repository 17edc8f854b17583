//! A tool pattern with a placeholder that does not parse.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "Go.", args = { allowed_tools = ["Read", "Read({folder}"] })]
struct Review {
    folder: String,
}

fn main() {
    let _ = Review::new("src".into());
}
