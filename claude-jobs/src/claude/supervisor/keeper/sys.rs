//! System calls, behind safe functions.
//!
//! By instruction and not through the C library: the helper program has none, and behind a fork in the
//! host program its state could not be relied on. Only calls that every kernel since 3.17 has. All of it
//! is unsafe code for that reason; the rest of [keeper](super) has none but for lists of strings
//! ([text](super::text)). It knows nothing of runs.

mod files;
mod numbers;
mod processes;
mod signals;
mod time;

pub(super) use files::{
    Access, Descriptor, Kind, SOCKET_PATH, Source, kind, knock, open, read, read_whole, remove, socket_pair,
    wait_for, write,
};
pub(crate) use processes::{Pid, die_by, exit};
pub(super) use processes::{
    Status, await_end, fork, inherit, kill, kill_group, leave_folder, let_go_of, memory, new_session, parent,
    reap_next, set_name, this, user,
};
pub(super) use signals::Signals;
pub(crate) use signals::signal;
pub(crate) use time::Millis;
pub(super) use time::{Timer, stopwatch, uptime};

/// An error number of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(super) const INTERRUPTED: Self = Self(4);
    pub(super) const WOULD_BLOCK: Self = Self(11);
    pub(super) const REFUSED: Self = Self(111);
}

pub(crate) type Result<T> = core::result::Result<T, Errno>;
