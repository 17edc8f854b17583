//! Everything of the prelude is taken, and so are the names of crates.

#![allow(dead_code, non_camel_case_types, non_snake_case)]

use claude_jobs::claude_worker;

struct Result;
struct Option;
struct Vec;
struct Box;

trait Default {}
trait From {}
trait Into {}
trait Clone {}
trait Copy {}
trait Send {}
trait Sync {}
trait Iterator {}
trait ToString {}
trait Display {}
trait Worker {}
trait Handler {}
trait Fn {}
fn Some() {}
fn None() {}
fn Ok() {}
fn Err() {}
fn drop() {}

mod alloc {}
mod inventory {}
mod serde_json {}
mod tokio {}

macro_rules! concat {
    () => {};
}
macro_rules! panic {
    () => {};
}
macro_rules! assert {
    () => {};
}
macro_rules! stringify {
    () => {};
}
macro_rules! file {
    () => {};
}
macro_rules! line {
    () => {};
}

#[claude_worker(
    queue = "q",
    max_attempts = 1,
    unique_period = 60,
    unique_by = ["number", "args"],
    unique_states = ["scheduled", "available"],
    prompt = "{number} {body} {pair}",
    args = { max_turns = 3, worktree = "issue-{number}", allowed_tools = ["Read({number})"] },
    pinned_args = { permission_mode = "plan" },
)]
struct Review {
    number: u64,
    #[untrusted]
    body: std::string::String,
    #[json]
    pair: (u8, u8),
}

#[claude_worker(queue = "q", cron = "@daily", prompt = "Go.")]
struct Daily {}

fn main() {
    let (show, run, input, prompt, krate) = (1, 2, 3, 4, 5);
    let _ = (show, run, input, prompt, krate);
    let _ = (Review::new(7, "x".into(), (1, 2)), Daily::new());
}
