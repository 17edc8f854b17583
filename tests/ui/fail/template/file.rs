//! Prompts in files: one that is not there, an absolute path, both kinds of prompt, a mistake inside.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt_file = "prompts/no_such.md")]
struct Missing;

#[claude_worker(queue = "q", prompt_file = "/etc/hostname")]
struct Absolute;

#[claude_worker(queue = "q", prompt = "a", prompt_file = "../../../../tests/ui/prompts/plain.md")]
struct Both;

#[claude_worker(queue = "q", prompt_file = "../../../../tests/ui/prompts/review.md")]
struct Inside {
    number: u64,
    repo: String,
    #[json]
    labels: Vec<String>,
}

fn main() {
    let _ = (Missing::new(), Absolute::new(), Both::new(), Inside::new(1, String::new(), vec![]));
}
