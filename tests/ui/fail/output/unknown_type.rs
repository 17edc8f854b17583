//! There is no such type.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", output = Anser)]
struct Ask;

fn main() {
    let _ = Ask::new("a");
}
