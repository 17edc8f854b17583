//! A worker with a type parameter. What is made of it is no further mistake.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Generic<T> {
    input: T,
}

impl Handler for Generic<u64> {
    async fn handle_result(&self, text: String, _: &Run, _: &mut Ctx) -> Result<Verdict> {
        Ok(Verdict::cancel(text))
    }
}

fn main() {
    let _ = Generic::new(1, "Review it.").max_turns(5);
}
