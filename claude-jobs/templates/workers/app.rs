//! What the handlers share: a pool of connections to the program's own database.

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

/// The program's state. A handler takes it with `cx.state::<App>()`.
#[derive(Clone, Debug)]
pub struct App {
    pool: SqlitePool,
}

impl App {
    /// Opens a database, such as `sqlite://app.db`. What is missing of it is made.
    pub async fn open(url: &str) -> sqlx::Result<Self> {
        let options = url.parse::<SqliteConnectOptions>()?.create_if_missing(true);
        Self::with(SqlitePoolOptions::new().connect_with(options).await?).await
    }

    /// With this pool.
    pub async fn with(pool: SqlitePool) -> sqlx::Result<Self> {
        let table =
            "CREATE TABLE IF NOT EXISTS issues (number INTEGER PRIMARY KEY, answer TEXT NOT NULL)";
        sqlx::query(table).execute(&pool).await?;
        Ok(Self { pool })
    }

    /// A database of its own, for a test.
    #[cfg(test)]
    pub async fn in_memory() -> sqlx::Result<Self> {
        // In memory each connection would have a database of its own.
        let pool = SqlitePoolOptions::new().max_connections(1);
        Self::with(pool.connect("sqlite::memory:").await?).await
    }

    /// Keeps what claude said about an issue. Said twice, it changes nothing: a handler may run again.
    pub async fn keep(&self, number: u64, answer: &str) -> sqlx::Result<()> {
        let insert = "INSERT OR REPLACE INTO issues (number, answer) VALUES (?, ?)";
        let insert = sqlx::query(insert).bind(number.cast_signed()).bind(answer);
        insert.execute(&self.pool).await.map(drop)
    }

    /// What claude said about an issue.
    #[cfg(test)]
    pub async fn answer(&self, number: u64) -> sqlx::Result<Option<String>> {
        let select = sqlx::query_scalar("SELECT answer FROM issues WHERE number = ?");
        select
            .bind(number.cast_signed())
            .fetch_optional(&self.pool)
            .await
    }
}
