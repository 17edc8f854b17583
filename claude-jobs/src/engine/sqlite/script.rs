//! Statements that go to SQLite's thread together.
//!
//! Each passage to sqlx's thread and back costs more than most of our statements do, and sqlx runs all
//! statements of a text one after the other.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type};

use crate::error::{Error, Result};

/// Statements with their values, in order. Only in the first may placeholders have numbers: sqlx counts
/// them within all.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    values: SqliteArguments,
}

impl Script {
    /// Adds a statement. Its values follow by [`bind`](Self::bind).
    pub(super) fn add(&mut self, sql: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str("; ");
        }
        self.sql.push_str(sql);
    }

    /// The next value of the statement that was added last.
    pub(super) fn bind<'v>(&mut self, value: impl Encode<'v, Sqlite> + Type<Sqlite>) -> Result<&mut Self> {
        self.values.add(value).map_err(Error::Database)?;
        Ok(self)
    }

    /// Runs all, and answers with the rows of all. After an error the rest was not run.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>> {
        if self.sql.is_empty() {
            return Ok(Vec::new());
        }
        // Only texts of ours are ever added.
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.values);
        Ok(query.fetch_all(connection).await?)
    }
}
