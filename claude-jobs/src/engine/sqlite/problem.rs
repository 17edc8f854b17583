//! Clearer words for some of SQLite's errors, with the remedy.

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

use super::BUSY_TIMEOUT;

/// A write to a file that was opened for reading only.
#[derive(Debug, thiserror::Error)]
#[error("{0}: make the file, its folder and its disk writable, then try again")]
pub(super) struct ReadOnly(String);

/// A write that another connection's transaction keeps out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Locked {
    /// On a connection of our own, which waits.
    #[error(
        "locked by another connection for {} s: end the transaction that locks it, then try again",
        BUSY_TIMEOUT.as_secs()
    )]
    Waited,
    /// On a connection of the user's, which waits as long as its `busy_timeout`, but not at all in a transaction that
    /// has read.
    #[error(
        "locked by another connection (SQLITE_BUSY): begin the transaction with `BEGIN IMMEDIATE`, so that it waits for \
         the lock, and set a `busy_timeout`"
    )]
    Users,
    /// The transaction has read what somebody has changed since. It can never write.
    #[error(
        "another connection has written since this transaction first read (SQLITE_BUSY_SNAPSHOT): it can never write; \
         roll it back and begin it anew with `BEGIN IMMEDIATE`"
    )]
    Snapshot,
}

/// A clearer error in place of one of SQLite's. PostgreSQL's errors are left as they are.
pub(in crate::engine) fn explained(error: &sqlx::Error) -> Option<Box<dyn std::error::Error + Send + Sync>> {
    // SQLite's own numbers; the higher bits tell details.
    const BUSY: u32 = 5;
    const READ_ONLY: u32 = 8;
    const BUSY_SNAPSHOT: u32 = 517;
    let code = match error {
        sqlx::Error::PoolTimedOut => BUSY,
        sqlx::Error::Database(error) => {
            error.try_downcast_ref::<SqliteError>()?.code()?.parse::<u32>().ok()?
        }
        _ => return None,
    };
    match (code, code & 0xff) {
        (BUSY_SNAPSHOT, _) => Some(Box::new(Locked::Snapshot)),
        (_, BUSY) => Some(Box::new(Locked::Waited)),
        (_, READ_ONLY) => Some(Box::new(ReadOnly(error.as_database_error()?.to_string()))),
        _ => None,
    }
}
