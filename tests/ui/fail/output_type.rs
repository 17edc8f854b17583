//! Types that cannot be claude's answer: one error each, at the type.

use claude_jobs::prelude::*;

/// Has neither derive.
pub struct Bare;

/// Cannot be read.
#[derive(JsonSchema)]
#[schemars(crate = "claude_jobs::schemars")]
pub struct Described {
    #[allow(dead_code)]
    number: u64,
}

#[claude_worker(queue = "q", output = Bare)]
struct NeitherDerive;

#[claude_worker(queue = "q", output = Vec<Described>)]
struct OneDerive;

#[claude_worker(queue = "q", output = Missing)]
struct Unknown;

/// A handler is no reason for more errors.
impl Handler for NeitherDerive {
    async fn handle_result(&self, _answer: Bare, _run: &Run, _cx: &mut Ctx) -> Verdict {
        Verdict::Complete
    }
}

fn main() {
    let _ = (NeitherDerive::new("a"), OneDerive::new("b"), Unknown::new("c"));
}
