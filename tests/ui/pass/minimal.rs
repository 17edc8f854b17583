//! The least that a worker needs.

use claude_jobs::prelude::*;

/// A bare passthrough.
#[claude_worker(queue = "claude")]
struct ClaudeJob;

fn main() {
    let job = ClaudeJob::new("summarize this repo").working_dir("/repo").into_new_job().expect("a job");
    assert_eq!(job.worker, "ClaudeJob");
    assert_eq!(job.args.get("prompt"), Some(&"summarize this repo".into()));

    let definition = ClaudeJob::DEFINITION;
    assert_eq!((definition.name, definition.queue), ("ClaudeJob", "claude"));
    assert_eq!((definition.max_attempts, definition.max_snoozes, definition.priority), (3, 3, 0));
    assert!(definition.unique.is_none() && definition.fields.is_empty());
    assert!(definition.defined_at.ends_with("minimal.rs:6"), "{}", definition.defined_at);
}
