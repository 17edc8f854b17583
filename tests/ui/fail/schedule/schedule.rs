//! Schedules that cannot be: expressions, dates and zones that do not exist, input that nobody gives.

use claude_jobs::prelude::*;

#[claude_worker(queue = "digests", prompt = "Summarize.", cron = "0 25 * * *", timezone = "Europe/Berlim")]
struct Digest;

#[claude_worker(queue = "digests", prompt = "Summarize.", cron = "0 0 31 2 *", missed = "on", if_busy = "kill")]
struct Never;

#[claude_worker(queue = "digests", cron = "@daily")]
struct WithoutPrompt;

const BASE: Args = args! { model = "sonnet" };

#[claude_worker(queue = "digests", cron = "@daily", args = { ..BASE })]
struct BaseWithoutPrompt;

#[claude_worker(queue = "digests", prompt = "Summarize.", cron = "@daily")]
struct WithInput {
    repository: String,
}

#[claude_worker(queue = "digests", timezone = "UTC", on_lost = "forget", concurrency_key = "modle")]
struct WithoutCron;

fn main() {
    let _ = (Digest::new(), Never::new(), WithoutPrompt::new("x"), BaseWithoutPrompt::new("x"));
    let _ = (WithInput::new("x".into()), WithoutCron::new("x"));
}
