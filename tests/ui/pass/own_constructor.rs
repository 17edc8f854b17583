//! `new` is the worker's; a constructor of your own has another name, and calls it.

use claude_jobs::JobBuilder;
use claude_jobs::prelude::*;

#[claude_worker(queue = "q")]
struct Review {
    number: u64,
    title: String,
}

impl Review {
    fn of(number: u64) -> JobBuilder<Self> {
        Self::new(number, format!("pull request {number}"), "Review it.").priority(1)
    }
}

fn main() {
    let job = Review::of(7).into_new_job().expect("a job");
    assert_eq!(job.input["title"], "pull request 7");
}
