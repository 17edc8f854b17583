//! The `claude-jobs` command as the tests run it: the library's own `main`, and a worker as a user has them.

use claude_jobs::prelude::*;

/// Answers a letter.
#[claude_worker(
    queue = "letters",
    name = "reply",
    max_attempts = 2,
    prompt = "Reply to {sender}.\n\n{letter}",
    pinned_args = { permission_mode = "plan" },
    unique_period = 60,
    unique_by = ["sender"],
)]
struct Reply {
    sender: String,
    #[untrusted]
    letter: String,
}

fn main() -> std::process::ExitCode {
    claude_jobs::cli::main()
}
