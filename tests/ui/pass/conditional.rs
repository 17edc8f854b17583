//! `#[cfg]` and `#[cfg_attr]` on the worker, its fields and its attribute.

use claude_jobs::prelude::*;

#[cfg_attr(all(), claude_worker(queue = "q", prompt = "Go {number}."))]
#[cfg_attr(all(), derive(Debug))]
struct Conditional {
    number: u64,
    #[cfg(not(all()))]
    #[allow(unused)]
    never: Missing,
    #[cfg(any(unix, not(unix)))]
    _always: u8,
    #[allow(unused)]
    other: u8,
}

#[cfg(not(all()))]
#[claude_worker(queue = "q", no_such_key = 1)]
struct Never;

#[cfg_attr(not(all()), claude_worker(queue = "q"))]
struct Plain;

fn main() {
    assert_eq!(Conditional::DEFINITION.fields, ["number", "_always", "other"]);
    let _ = (Conditional::new(7, 1, 2), Plain);
}
