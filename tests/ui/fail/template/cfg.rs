//! A field that may not be there.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", prompt = "{number}")]
struct Maybe {
    #[cfg(unix)]
    number: u64,
}

fn main() {
    let _ = Maybe::new(7);
}
