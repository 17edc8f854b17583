//! Five mistakes in one worker: five errors in one build, each with its fix, and nothing more.

use claude_jobs::prelude::*;

#[claude_worker(
    max_attempts = 3,
    max_attempts = 5,
    args = { max_turn = 40, max_turns = "forty", permission_mode = "bypass" },
)]
struct Review {
    number: u64,
}

impl Handler for Review {
    async fn handle_result(&self, output: String, _run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        let _ = (self.number, output.len());
        Ok(Verdict::Complete)
    }
}

fn main() {
    let _ = Review::new(7, "review it").max_turns(40);
}
