//! The crate under another name, reached through another crate's path.

mod vendored {
    pub mod jobs {
        pub use claude_jobs::*;
    }
}

use vendored::jobs::{Args, args, claude_worker};

const BASE: Args = args! { model = "opus" };

#[claude_worker(queue = "q", unique_period = 5, args = { effort = "high", ..BASE }, crate = crate::vendored::jobs)]
struct Worker {
    number: u64,
}

fn main() {
    let _ = Worker::new(7, "go");
}
