//! A handler for another output than the worker's.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Review;

impl Handler for Review {
    async fn handle_result(&self, output: u64, _run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        let _ = output;
        Ok(Verdict::Complete)
    }
}

fn main() {}
