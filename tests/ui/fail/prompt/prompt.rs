//! Prompts: a blank one, one of the wrong type, one that is given twice, and a field in the way.

use claude_jobs::prelude::*;

#[claude_worker(queue = "issues", prompt = " ")]
struct Blank;

#[claude_worker(queue = "issues", prompt = 42)]
struct Number;

#[claude_worker(queue = "issues", prompt = "a", args = { prompt = "b" })]
struct Twice;

#[claude_worker(queue = "issues")]
struct Field {
    prompt: String,
}

fn main() {
    let _ = (Blank::new(), Number::new(), Twice::new(), Field::new(String::new(), "x"));
}
