//! A constant of the wrong kind for its option.

use claude_jobs::prelude::*;

const TURNS: &str = "40";

#[claude_worker(queue = "q", args = { max_turns = TURNS })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
