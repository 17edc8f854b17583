//! The database of a storm: the same tests for every engine.

use claude_jobs::prelude::*;
use claude_jobs_tests::postgres::{self, Database};
use sqlx::Connection;
use tempfile::TempDir;

use super::LEASE;

/// A database.
pub(crate) enum Site {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Site {
    pub(crate) fn sqlite() -> Site {
        Site::Sqlite(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn postgres() -> Site {
        Site::Postgres(postgres::private_database())
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Site::Sqlite(folder) => format!("sqlite://{}", folder.path().join("jobs.db").display()),
            Site::Postgres(database) => database.url(),
        }
    }

    pub(crate) async fn queue(&self) -> Queue {
        Queue::connect(&self.url()).await.expect("a new database")
    }

    /// The registered nodes.
    pub(crate) async fn nodes(&self) -> Vec<String> {
        match self {
            Site::Sqlite(_) => {
                let connection = sqlx::SqliteConnection::connect(&self.url()).await;
                sqlx::query_scalar("SELECT id FROM claude_jobs_nodes ORDER BY id")
                    .fetch_all(&mut connection.expect("the database is there"))
                    .await
                    .expect("a read")
            }
            Site::Postgres(database) => {
                let rows = database.psql("SELECT id FROM claude_jobs.nodes ORDER BY id");
                rows.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Waits until this many nodes are registered: the dead are gone a lease after their death.
    pub(crate) async fn await_nodes(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + LEASE * 2;
        loop {
            let nodes = self.nodes().await;
            if nodes.len() == count {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{nodes:?} instead of {count}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}
