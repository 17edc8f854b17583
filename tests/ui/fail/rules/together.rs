//! Options that cannot stand together, in one layer, over layers and with a base.

use claude_jobs::prelude::*;

const BASE: Args = args! { timeout = "1m", resume = "7" };

#[claude_worker(queue = "q", args = { system_prompt = "a", system_prompt_file = "b", append_system_prompt = "a", append_system_prompt_file = "b" })]
struct Prompts;

#[claude_worker(queue = "q", args = { resume = "a", no_session_persistence = true, from_pr = "7" })]
struct Sessions;

#[claude_worker(queue = "q", args = { idle_timeout = "5m", ..BASE }, pinned_args = { no_session_persistence = true })]
struct Based;

#[claude_worker(queue = "q", args = { fork_session = true })]
struct Fork;

#[claude_worker(queue = "q", on_lost = "resume", args = { no_session_persistence = true })]
struct Lost;

fn main() {
    let _ = (Prompts::new("go"), Sessions::new("go"), Based::new("go"), Fork::new("go"), Lost::new("go"));
}
