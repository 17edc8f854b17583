//! Tells a write that the database has refused from one of which nobody knows.

use crate::error::Error;

/// Whether the database itself has refused the write, so that nothing of it was done. Otherwise, as
/// when the connection broke, nobody knows.
pub(crate) fn was_refused(error: &Error) -> bool {
    match error {
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        Error::Database(source) => {
            matches!(source.downcast_ref::<sqlx::Error>(), Some(sqlx::Error::Database(_)))
        }
        _ => false,
    }
}
