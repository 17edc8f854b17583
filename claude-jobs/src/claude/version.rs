//! The versions of Claude Code that this crate is tested with.
//!
//! The only place with their numbers: `tests/run` reads them here and installs both, and each test of the
//! real CLI runs with either.

/// The oldest version of Claude Code that is supported. `claude-jobs doctor` fails with an older one.
pub const OLDEST_TESTED: &str = "2.1.309";

/// The newest version of Claude Code that this release was tested with. `claude-jobs doctor` warns of a newer one.
pub const NEWEST_TESTED: &str = "2.1.332";
