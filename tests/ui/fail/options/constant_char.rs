//! A constant of a type that no option takes.

use claude_jobs::prelude::*;

const LETTER: char = 'x';

#[claude_worker(queue = "q", args = { model = LETTER })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
