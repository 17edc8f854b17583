//! claude-jobs as another crate hands it on.

mod company {
    pub mod platform {
        pub extern crate claude_jobs;
    }
}

use company::platform::claude_jobs::{Handler, Args, args, claude_worker};

const BASE: Args = args! { model = "opus" };

#[claude_worker(
    queue = "q",
    unique_period = 5,
    unique_by = ["number"],
    prompt = "Issue {number}: {labels}",
    args = { effort = "high", ..BASE },
    crate = company::platform::claude_jobs
)]
struct Review {
    number: u64,
    #[json]
    labels: Vec<String>,
}

impl Handler for Review {}

fn main() {
    let _ = Review::new(7, vec![]);
}
