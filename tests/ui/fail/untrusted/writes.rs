//! Untrusted text for runs that can write, without a word about it.

use claude_jobs::prelude::*;

const FULL_AUTO: Args = args! { permission_mode = "bypass_permissions" };

#[claude_worker(queue = "q", max_attempts = 1, prompt = "{body}", pinned_args = { permission_mode = "accept_edits" })]
struct Mode {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", max_attempts = 1, prompt = "{body}", args = { allowed_tools = ["Read", "Write"] })]
struct Tools {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", max_attempts = 1, prompt = "{body}", args = { ..FULL_AUTO })]
struct Base {
    #[untrusted]
    body: String,
}

fn main() {
    let _ = (Mode::new(String::new()), Tools::new(String::new()), Base::new(String::new()));
}
