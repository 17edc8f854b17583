//! A runtime in a process of its own, for tests that kill or pause it: `worker URL CLAUDE LEASE_SECONDS`.
//! It serves the queue `tests` until SIGTERM, with a worker named as the tests' own.

use std::process::ExitCode;
use std::time::Duration;

use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;

/// Has the name and the fields of the tests' worker; completes.
#[claude_worker(queue = "tests", prompt = "do it")]
struct Obedient {
    #[allow(dead_code)]
    order: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, claude, lease] = &arguments[..] else {
        eprintln!("usage: worker URL CLAUDE LEASE_SECONDS");
        return ExitCode::from(2);
    };
    let lease = Duration::from_secs(lease.parse().expect("LEASE_SECONDS is a number"));
    let queue = Queue::connect(url).await.expect("the database is there");
    Runtime::builder(queue)
        .queue("tests", 1)
        .lease(lease)
        .grace(Duration::ZERO)
        .claude(ClaudeCli::builder().binary(claude).build())
        .run_until(shutdown_signal())
        .await
        .expect("it runs");
    ExitCode::SUCCESS
}
