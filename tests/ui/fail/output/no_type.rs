//! `output` takes a type, not its name in quotes and not a value of it.

use claude_jobs::prelude::*;

#[claude_worker(queue = "q", output = "Answer")]
struct Quoted;

#[claude_worker(queue = "q", output = Answer { number: 7 })]
struct Value;

#[claude_worker(queue = "q", output)]
struct Nothing;

#[claude_worker(queue = "q", outptu = Vec<u8>)]
struct Misspelt;

fn main() {
    let _ = (Quoted::new("a"), Value::new("b"), Nothing::new("c"), Misspelt::new("d"));
}
