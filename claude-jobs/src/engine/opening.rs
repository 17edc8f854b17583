//! What a database is opened for, and what may be found there.

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) enum Purpose {
    /// To use it: its tables are brought up to date, and a copy becomes a database of its own.
    Use,
    /// To look at it.
    Look,
}

/// Why a job that was running is over in a copy of its database.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) const COPIED: &str = "copied: it ran when this copy of its database was made, and may run on there; \
    `jobs retry` runs it here, too";

/// What a look at a database that changes nothing has found.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Without a database nothing makes one.
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
pub(crate) enum Inspection {
    /// No database yet: the first connection makes it.
    Missing,
    /// A database whose tables are missing or old: the next connection brings them up to date.
    NotMigrated,
    /// Our tables, up to date.
    Ready,
}
