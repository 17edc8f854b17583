//! Workers that can write and do not say how often they may run.

use claude_jobs::prelude::*;

const FULL_AUTO: Args = args! { permission_mode = "bypass_permissions" };

#[claude_worker(queue = "q", args = { permission_mode = "auto" })]
struct Mode;

#[claude_worker(queue = "q", args = { ..FULL_AUTO, max_turns = 3 })]
struct Base;

#[claude_worker(queue = "q", args = { ..FULL_AUTO }, pinned_args = { permission_mode = "plan" })]
struct Overruled;

fn main() {
    let _ = (Mode::new("go"), Base::new("go"), Overruled::new("go"));
}
