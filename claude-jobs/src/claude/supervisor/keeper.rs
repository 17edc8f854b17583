//! The two processes that keep a run: the front and the supervisor.
//!
//! Their whole logic, once for both programs that they are made of: the helper, whose crate has `helper.rs`
//! for its root, and the host program itself where the helper cannot be used. So it knows `core` and the
//! kernel, and nothing else: no allocation, no C library, no std, nothing of this crate. What it needs to
//! know it is told by the [order](protocol::Order).

mod children;
mod front;
mod litter;
pub(crate) mod protocol;
pub(crate) mod sys;
pub(crate) mod text;
mod watch;

pub(crate) use front::main;
