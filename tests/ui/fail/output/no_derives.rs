//! The type of the answers has no derive: one error, at the type, also with a handler.

use claude_jobs::prelude::*;

struct Answer;

#[claude_worker(queue = "q", output = Answer)]
struct Ask;

impl Handler for Ask {
    async fn handle_result(&self, _answer: Answer, _run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        Ok(Verdict::Complete)
    }
}

fn main() {
    let _ = Ask::new("a");
}
