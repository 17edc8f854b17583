//! The remedy for some of PostgreSQL's errors.

use crate::error::in_its_words;

/// An error of the server, with the remedy. Trying again would not help.
#[derive(Debug, thiserror::Error)]
#[error("{}; {remedy}", in_its_words(error))]
pub(in crate::engine) struct Explained {
    error: sqlx::Error,
    remedy: &'static str,
}

/// What to do behind a pooler.
pub(super) const POOLER: &str = "does a pooler stand between? Behind one that changes servers per transaction, add \
    `notifications=off` to the URL";

/// The server, the role or the session only reads.
pub(super) const READS_ONLY: &str = "25006";

/// Adds the remedy to an error whose code alone tells it. Other errors, and those of SQLite, come back as they are.
pub(in crate::engine) fn explained(error: sqlx::Error) -> Result<Explained, sqlx::Error> {
    let code = error.as_database_error().and_then(|error| error.code());
    let remedy = match code.as_deref() {
        Some(READS_ONLY) => {
            "this server, or this role, only reads: connect to the primary server, as a role that may write"
        }
        Some("42501") => "let the owner of the tables grant this role their use, or connect as another role",
        Some("42P05" | "26000") => POOLER,
        _ => return Err(error),
    };
    Ok(Explained { error, remedy })
}

/// The error that the server or the driver has given.
pub(in crate::engine) fn given<'e>(
    source: &'e (dyn std::error::Error + Send + Sync + 'static),
) -> Option<&'e sqlx::Error> {
    let explained = source.downcast_ref::<Explained>().map(|explained| &explained.error);
    explained.or_else(|| source.downcast_ref())
}
