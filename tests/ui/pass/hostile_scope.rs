//! No prelude, the names of the prelude taken, strict lints: generated code leans on nothing in scope.

#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(missing_docs, warnings)]

use ::claude_jobs::{Args, args, claude_worker};

/// Taken.
pub struct Result;
/// Taken.
pub struct Option;
/// Taken.
pub struct Vec;
/// Taken.
pub struct String;
/// Taken.
#[allow(non_snake_case)]
pub fn Some() {}
/// Taken.
#[allow(non_snake_case)]
pub fn Ok() {}

/// Ours, with names that generated code must not capture.
pub mod core {}
/// As above.
pub mod std {}
/// As above.
pub mod serde {}
/// As above.
pub mod claude_jobs {}

const BASE: Args = args! { model = "opus" };

/// A worker with everything that generates code.
#[claude_worker(
    queue = "q",
    unique_period = 60,
    unique_by = ["number"],
    unique_states = ["scheduled", "available"],
    tags = ["t"],
    args = { max_turns = 3, ..BASE },
    pinned_args = { permission_mode = "plan" },
)]
pub struct Worker {
    /// A number.
    pub number: u64,
}

/// Inside a module, visible outside it.
pub mod inner {
    use ::claude_jobs::claude_worker;

    /// A worker.
    #[claude_worker(queue = "q", prompt = "go")]
    pub(super) struct Inner;
}

/// Workers can stand in functions.
fn in_function() {
    const TURNS: u32 = 4;

    #[claude_worker(queue = "q", args = { max_turns = TURNS })]
    struct Local {
        at: ::std::time::Duration,
    }

    let _ = Local::new(::std::time::Duration::ZERO, "go");
    const LOCAL: Args = args! { max_turns = TURNS };
    let _ = LOCAL;
}

fn main() {
    in_function();
    let _ = Worker::new(7, "go");
    let _ = inner::Inner::new();
}
