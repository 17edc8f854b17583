//! Inserts the same unique job many times: `insert_unique URL TIMES`. Two of these race in a test.

use std::process::ExitCode;

use claude_jobs::claude_worker;
use claude_jobs::prelude::Queue;

/// Unique for ten minutes.
#[claude_worker(queue = "tests", unique_period = 600)]
struct Same;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, times] = &arguments[..] else {
        eprintln!("usage: insert_unique URL TIMES");
        return ExitCode::from(2);
    };
    let times: u32 = times.parse().expect("TIMES is a number");
    let queue = Queue::connect(url).await.expect("the database is there");
    for _ in 0..times {
        Same::new("the same").insert(&queue).await.expect("one of the two always wins");
    }
    ExitCode::SUCCESS
}
