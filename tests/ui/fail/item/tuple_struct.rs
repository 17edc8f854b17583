//! A worker whose fields have no names. What is made of it is no further mistake.

use claude_jobs::prelude::*;

#[claude_worker(queue = "review")]
struct Tuple(u64);

impl Handler for Tuple {
    async fn handle_result(&self, text: String, _: &Run, _: &mut Ctx) -> Result<Verdict> {
        Ok(Verdict::cancel(text))
    }
}

fn main() {
    let _ = Tuple(1);
    let _ = Tuple::new(1, "Review it.").priority(1).max_turns(5);
}
