//! A handler that holds what cannot go to another thread.

use claude_jobs::prelude::*;

use std::rc::Rc;

#[claude_worker(queue = "review")]
struct Review;

impl Handler for Review {
    async fn handle_result(&self, output: String, _run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        let held = Rc::new(output);
        std::future::ready(()).await;
        Ok(Verdict::cancel(held.as_str()))
    }
}

fn main() {}
