//! A handler for both outcomes, for one, for none; with a type of its own for helpers.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q")]
struct Both {
    number: u64,
}

impl Handler for Both {
    async fn handle_result(&self, text: String, run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.enqueue(Both::new(self.number + 1, text).max_turns(3));
        cx.meta().insert("session".into(), run.session_id.clone().into());
        Ok(Verdict::Complete)
    }

    async fn handle_error(&self, verdict: Verdict, failure: &Failure, _: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        Ok(if failure.message.is_empty() { Verdict::cancel("no reason") } else { verdict })
    }
}

#[claude_worker(queue = "q")]
struct OnlyErrors;

impl Handler for OnlyErrors {
    fn handle_error(
        &self,
        verdict: Verdict,
        _failure: &Failure,
        _run: &Run,
        _cx: &mut Ctx,
    ) -> impl std::future::Future<Output = Result<Verdict>> + Send {
        std::future::ready(Ok(verdict))
    }
}

#[claude_worker(queue = "q")]
struct Marked;

impl Handler for Marked {}

#[claude_worker(queue = "q")]
struct NoHandler;

fn main() {
    let _ = (Both::new(1, "x"), OnlyErrors::new("x"), Marked::new("x"), NoHandler::new("x"));
}
