//! A database of either kind, and the user's own hand in it.

use claude_jobs_tests::postgres::{self, database};
use sqlx::{Connection, Executor};
use tempfile::TempDir;

/// A database of either kind.
pub(crate) enum Base {
    Sqlite(TempDir),
    Postgres(postgres::Database),
}

impl Base {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(database())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}/jobs.db", folder.path().display()),
            Self::Postgres(database) => database.url(),
        }
    }

    /// Another one with all that is in this one, which may be in use.
    pub(crate) async fn copy(&self) -> Self {
        match self {
            Self::Sqlite(_) => {
                let folder = tempfile::tempdir().expect("a folder");
                self.execute(&format!("VACUUM INTO '{}/jobs.db'", folder.path().display())).await;
                Self::Sqlite(folder)
            }
            Self::Postgres(database) => Self::Postgres(database.copy()),
        }
    }

    /// Runs SQL, in which `{jobs}`, `{log}` and `{nodes}` are the tables.
    pub(crate) async fn execute(&self, sql: &str) {
        let (url, prefix) =
            (self.url(), if matches!(self, Self::Sqlite(_)) { "claude_jobs_" } else { "claude_jobs." });
        let named =
            |sql: String, table: &str| sql.replace(&format!("{{{table}}}"), &format!("{prefix}{table}"));
        let sql = ["jobs", "log", "nodes"].into_iter().fold(sql.to_owned(), named);
        match self {
            Self::Sqlite(_) => {
                let sql = sql.replace("claude_jobs_jobs", "claude_jobs");
                let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("it is there");
                connection.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)
            }
            Self::Postgres(_) => {
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("it is there");
                connection.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)
            }
        }
        .expect("sound SQL");
    }
}
