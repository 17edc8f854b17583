//! Which engine a URL names.

use std::sync::Arc;

use super::{Engine, Purpose};
use crate::error::{Error, Result};

/// Connects to the database.
///
/// # Errors
///
/// As [`Queue::connect`](crate::Queue::connect).
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(unused_variables))]
pub(crate) async fn open(url: &str, purpose: Purpose) -> Result<Arc<dyn Engine>> {
    #[cfg(feature = "sqlite")]
    if url.starts_with("sqlite:") {
        return Ok(Arc::new(super::sqlite::SqliteEngine::open(url, purpose).await?));
    }
    #[cfg(feature = "postgres")]
    if is_postgres(url) {
        return Ok(Arc::new(super::postgres::PostgresEngine::open(url, purpose).await?));
    }
    Err(unsupported(url))
}

/// Looks at a database without changing it.
///
/// # Errors
///
/// As [`connect`].
#[cfg(feature = "cli")]
pub(crate) async fn inspect(url: &str) -> Result<super::Inspection> {
    #[cfg(feature = "sqlite")]
    if url.starts_with("sqlite:") {
        return super::sqlite::inspect(url).await;
    }
    #[cfg(feature = "postgres")]
    if is_postgres(url) {
        return super::postgres::inspect(url).await;
    }
    Err(unsupported(url))
}

/// Whether jobs can be inserted and run in a database that is ready.
///
/// # Errors
///
/// As [`inspect`]; says what is missing. A SQLite file that is not writable is not ready.
#[cfg(feature = "cli")]
pub(crate) async fn check_use(url: &str) -> Result<()> {
    #[cfg(feature = "postgres")]
    if is_postgres(url) {
        return super::postgres::check_use(url).await;
    }
    let _ = url;
    Ok(())
}

/// What opens the database of that URL.
#[cfg(feature = "cli")]
pub(crate) fn access(url: &str) -> super::Access {
    #[cfg(feature = "sqlite")]
    if url.starts_with("sqlite:") {
        return super::sqlite::access(url);
    }
    #[cfg(feature = "postgres")]
    if is_postgres(url) {
        return super::postgres::access(url);
    }
    super::Access::of([url.to_owned()], None)
}

/// The URL as it may be shown: without its password.
#[cfg(feature = "cli")]
pub(crate) fn shown(url: &str) -> String {
    #[cfg(feature = "postgres")]
    if is_postgres(url) {
        return super::postgres::shown(url);
    }
    url.to_owned()
}

#[cfg(feature = "postgres")]
fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

fn unsupported(url: &str) -> Error {
    // Who knows where the password is in the rest.
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let is_one = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    Error::Connect {
        url: if scheme.is_empty() || !is_one { "…".to_owned() } else { format!("{scheme}://…") },
        reason: what_opens(cfg!(feature = "sqlite"), cfg!(feature = "postgres")).to_owned(),
    }
}

/// What to write, or to build, with these features.
fn what_opens(sqlite: bool, postgres: bool) -> &'static str {
    match (sqlite, postgres) {
        (true, true) => "write `sqlite://path/to/jobs.db` or `postgres://user:password@host/database`",
        (true, false) => {
            "this build opens SQLite databases: write `sqlite://path/to/jobs.db`, or switch on the feature \
             `postgres` of claude-jobs"
        }
        (false, true) => {
            "this build opens PostgreSQL databases: write `postgres://user:password@host/database`, or switch on \
             the feature `sqlite` of claude-jobs"
        }
        (false, false) => {
            "this build opens no databases: switch on the feature `sqlite` or `postgres` of claude-jobs"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_this_build_does_not_open_is_told_with_what_would() {
        for (sqlite, postgres) in [(true, true), (true, false), (false, true), (false, false)] {
            let told = what_opens(sqlite, postgres);
            assert_eq!(told.contains("`sqlite://"), sqlite, "{told}");
            assert_eq!(told.contains("`postgres://"), postgres, "{told}");
            assert_eq!(told.contains("`sqlite`"), !sqlite, "{told}");
            assert_eq!(told.contains("`postgres`"), !postgres, "{told}");
        }
    }
}
