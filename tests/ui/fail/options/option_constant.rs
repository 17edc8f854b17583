//! Constant expressions of types that no option takes, and a base that is no layer.

use claude_jobs::prelude::*;

const TOOLS: [u8; 2] = [1, 2];
const LETTER: char = 'x';

#[claude_worker(queue = "review", args = { allowed_tools = TOOLS, model = LETTER, ..LETTER })]
struct Review;

fn main() {
    let _ = Review::new("review it");
}
