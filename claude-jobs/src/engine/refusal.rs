//! What an error of the database means: whether it has refused a write, or nobody knows what became of it; and how the
//! rows around a refused one are written all the same.

use crate::error::{Error, Result};

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

/// Whether an error may be about one row only: a trigger or a constraint forbids it, or it cannot be read. Then the
/// other rows are worth a try without it. Not where the database as a whole cannot write: it is busy, full, read-only,
/// short of memory, shutting down.
fn may_be_of_one_row(error: &Error) -> bool {
    code(error).is_some_and(|code| !is_of_the_whole(&code)) || cannot_be_read(error)
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn cannot_be_read(error: &Error) -> bool {
    let Error::Database(source) = error else { return false };
    matches!(source.downcast_ref(), Some(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)))
}

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
fn cannot_be_read(_: &Error) -> bool {
    false
}

/// PostgreSQL's classes 08 (connection), 25 (read-only), 40 (rollback), 53 (resources), 57 (intervention) and 58
/// (system); SQLite's BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL and NOTADB.
fn is_of_the_whole(code: &str) -> bool {
    match code.len() {
        5 => ["08", "25", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class)),
        _ => code.parse::<u32>().is_ok_and(|number| matches!(number & 0xff, 5..=11 | 13..=15 | 26)),
    }
}

/// Rows that are written together, and in smaller and smaller parts where the database refuses one of them.
///
/// ```text
/// let mut parts = Parts::of(&rows);
/// while let Some(part) = parts.next() {
///     if let Err(error) = write(part).await
///         && let Some((row, error)) = parts.split(part, error)?
///     { /* the database refuses this one */ }
/// }
/// ```
pub(crate) struct Parts<'a, T>(Vec<&'a [T]>);

impl<'a, T> Parts<'a, T> {
    /// All of them at first.
    pub(crate) fn of(rows: &'a [T]) -> Self {
        Self(vec![rows])
    }

    /// The next part to write, in the order of the rows.
    pub(crate) fn next(&mut self) -> Option<&'a [T]> {
        self.0.pop().filter(|part| !part.is_empty())
    }

    /// Has a part that could not be written tried again in halves. Answers with the row, where it is one.
    ///
    /// # Errors
    ///
    /// That error, where it is not about one row: nothing else can be written now either.
    pub(crate) fn split(&mut self, part: &'a [T], error: Error) -> Result<Option<(&'a T, Error)>> {
        if !may_be_of_one_row(&error) {
            return Err(error);
        }
        if let [row] = part {
            return Ok(Some((row, error)));
        }
        let (first, second) = part.split_at(part.len() / 2);
        self.0.extend([second, first]);
        Ok(None)
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
