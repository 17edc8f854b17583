//! What an error of the database means: whether it has refused a write, or nobody knows what became of it.

use crate::error::Error;

/// Whether the database itself has refused the write, so that nothing of it was done. Otherwise, as
/// when the connection broke, nobody knows.
pub(crate) fn was_refused(error: &Error) -> bool {
    match error {
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        Error::Database(source) => match source.downcast_ref() {
            Some(sqlx::Error::Database(error)) => !ends_the_connection(error.code().as_deref()),
            _ => false,
        },
        _ => false,
    }
}

/// A PostgreSQL server that shuts down, or an operator who ends the connection, may cut in between a
/// commit and its answer. SQLite's codes are plain numbers.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn ends_the_connection(code: Option<&str>) -> bool {
    code.is_some_and(|code| code.starts_with("57P") || (code.len() == 5 && code.starts_with("08")))
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        #[cfg(feature = "sqlite")]
        if let Some(explained) = super::sqlite::explained(&error) {
            return Self::Database(explained);
        }
        Self::Database(Box::new(error))
    }
}
