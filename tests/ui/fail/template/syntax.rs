//! Braces that are no placeholders.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "a {} b { c")]
struct Empty;

#[claude_worker(queue = "q", prompt = "{title.trim()} {title:?} }")]
struct Call {
    title: String,
}

#[claude_worker(queue = "q", prompt = "if (x) { return }", args = { append_system_prompt = "{a b}" })]
struct Code;

const BASE: Args = args! { worktree = "issue-{number}" };

fn main() {
    let _ = (Empty::new(), Call::new(String::new()), Code::new(), BASE);
}
