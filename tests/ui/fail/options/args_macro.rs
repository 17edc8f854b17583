//! `args!` makes the same checks as the attribute.

use claude_jobs::{Args, args};

const ONE: Args = args! { modle = "opus", effort = "hihg", effort = "high" };
const TWO: Args = args! { max_turns = "forty", ..ONE };
const THREE: Args = args! { ..MISSING, model = "opus" };

fn main() {
    let _ = (ONE, TWO, THREE);
}
