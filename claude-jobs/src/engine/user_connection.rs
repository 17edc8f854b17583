//! [`UserConnection`]: a connection of the user's own, on which jobs are inserted together with the user's
//! rows.

/// A connection, or a transaction, of sqlx on which a job can be inserted: `SqliteConnection`,
/// `PgConnection`, and `Transaction` of either.
pub trait UserConnection: sealed::Insert {}

impl<C: sealed::Insert> UserConnection for C {}

pub(crate) mod sealed {
    use async_trait::async_trait;

    use crate::engine::Engine;
    use crate::error::Result;
    use crate::job::{JobRow, Written};

    /// Nobody else can say how jobs are inserted on a connection.
    #[async_trait]
    pub trait Insert: Send {
        /// Writes jobs of that engine's database.
        async fn insert(&mut self, engine: &dyn Engine, rows: &[JobRow]) -> Result<Vec<Written>>;
    }

    #[cfg(feature = "sqlite")]
    #[async_trait]
    impl Insert for sqlx::SqliteConnection {
        async fn insert(&mut self, engine: &dyn Engine, rows: &[JobRow]) -> Result<Vec<Written>> {
            crate::engine::sqlite::insert_on_users(self, engine.database_id(), rows).await
        }
    }

    #[cfg(feature = "sqlite")]
    #[async_trait]
    impl Insert for sqlx::Transaction<'_, sqlx::Sqlite> {
        async fn insert(&mut self, engine: &dyn Engine, rows: &[JobRow]) -> Result<Vec<Written>> {
            Insert::insert(&mut **self, engine, rows).await
        }
    }

    #[cfg(feature = "postgres")]
    #[async_trait]
    impl Insert for sqlx::PgConnection {
        async fn insert(&mut self, engine: &dyn Engine, rows: &[JobRow]) -> Result<Vec<Written>> {
            let schema = engine.schema().ok_or(crate::Error::OtherDatabase)?;
            crate::engine::postgres::insert_in(self, schema, engine.database_id(), rows).await
        }
    }

    #[cfg(feature = "postgres")]
    #[async_trait]
    impl Insert for sqlx::Transaction<'_, sqlx::Postgres> {
        async fn insert(&mut self, engine: &dyn Engine, rows: &[JobRow]) -> Result<Vec<Written>> {
            Insert::insert(&mut **self, engine, rows).await
        }
    }
}
