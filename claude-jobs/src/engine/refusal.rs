//! What an error of the database means: whether it has refused a write, or nobody knows what became of it.

use crate::error::Error;

/// Whether the database itself has refused the write, so that nothing of it was done. Otherwise, as
/// when the connection broke, nobody knows.
pub(crate) fn was_refused(error: &Error) -> bool {
    code(error).is_some_and(|code| !ends_the_connection(&code))
}

/// Whether the database was asked for what it will never take: a constraint or a trigger forbids it. A
/// full disk, say, is no such thing.
pub(crate) fn is_forbidden(error: &Error) -> bool {
    code(error).is_some_and(|code| forbids(&code))
}

/// The database's own code of an error: PostgreSQL's five signs, SQLite's number.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn code(error: &Error) -> Option<String> {
    let Error::Database(source) = error else { return None };
    #[cfg(feature = "postgres")]
    let given = super::postgres::given(&**source);
    #[cfg(not(feature = "postgres"))]
    let given = source.downcast_ref::<sqlx::Error>();
    given?.as_database_error()?.code().map(|code| code.into_owned())
}

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
fn code(_: &Error) -> Option<String> {
    None
}

/// PostgreSQL's classes 22 (data), 23 (constraints) and P0 (raised); SQLite's constraints.
fn forbids(code: &str) -> bool {
    let is_constraint = |number: u32| number & 0xff == 19;
    match code.len() {
        5 => ["22", "23", "P0"].iter().any(|class| code.starts_with(class)),
        _ => code.parse().is_ok_and(is_constraint),
    }
}

/// A PostgreSQL server that shuts down, or an operator who ends the connection, may cut in between a
/// commit and its answer. SQLite's codes are plain numbers.
fn ends_the_connection(code: &str) -> bool {
    code.starts_with("57P") || (code.len() == 5 && code.starts_with("08"))
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        #[cfg(feature = "sqlite")]
        if let Some(explained) = super::sqlite::explained(&error) {
            return Self::Database(explained);
        }
        #[cfg(feature = "postgres")]
        let error = match super::postgres::explained(error) {
            Ok(explained) => return Self::Database(Box::new(explained)),
            Err(error) => error,
        };
        Self::Database(Box::new(error))
    }
}
