//! A runtime in a process of its own, for tests that kill or pause it: `worker URL CLAUDE LEASE_SECONDS
//! [without-helper]`. It serves the queue `tests` until SIGTERM, with workers named as the tests' own.

use std::process::ExitCode;
use std::time::Duration;

use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;
use claude_jobs_tests::once_by_each_policy;

once_by_each_policy!(fails_once);

/// The answer stays, whatever becomes of the handler.
fn fails_once(_: &Run, cx: &mut Ctx) -> Result<Verdict> {
    match cx.handler_attempt() {
        1 => Err(std::io::Error::other("as ordered"))?,
        _ => Ok(Verdict::Complete),
    }
}

/// Has the name and the fields of the tests' worker; completes.
#[claude_worker(queue = "tests", prompt = "do it")]
struct Obedient {
    #[allow(dead_code)]
    order: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, claude, lease, without @ ..] = &arguments[..] else {
        eprintln!("usage: worker URL CLAUDE LEASE_SECONDS [without-helper]");
        return ExitCode::from(2);
    };
    let lease = Duration::from_secs(lease.parse().expect("LEASE_SECONDS is a number"));
    let mut builder = ClaudeCli::builder().binary(claude);
    if without == ["without-helper"] {
        builder = builder.without_helper();
    }
    let queue = Queue::connect(url).await.expect("the database is there");
    Runtime::builder(queue)
        .queue("tests", 1)
        .lease(lease)
        .grace(Duration::ZERO)
        .claude(builder.build())
        .run_until(shutdown_signal())
        .await
        .expect("it runs");
    ExitCode::SUCCESS
}
