//! Workers that a `macro_rules!` of the user's own writes: fragments arrive in invisible groups.

use claude_jobs::prelude::*;

macro_rules! worker {
    ($name:ident, $queue:literal, $turns:expr, $model:literal, $base:expr, $classifier:path) => {
        #[claude_worker(
            queue = $queue,
            tags = [$queue],
            classifier = $classifier,
            args = { max_turns = $turns, model = $model, ..$base },
        )]
        struct $name;
    };
}

const BASE: Args = args! { effort = "low" };

worker!(Review, "review", 40, "opus", BASE, claude_jobs::classify::default);

fn main() {
    let _ = Review::new("review it");
}
