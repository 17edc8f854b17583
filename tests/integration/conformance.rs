//! Every engine does what every engine must do.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use claude_jobs::engine::Engine;
use claude_jobs::engine::conformance::{Database, suite};
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::proxy::{Proxy, Trap};
use claude_jobs_tests::postgres;
use sqlx::{Connection, Executor};
use tempfile::TempDir;

/// One file, which every connection opens for itself.
struct SqliteFile(TempDir);

impl SqliteFile {
    async fn make() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn url(&self) -> String {
        format!("sqlite://{}/jobs.db", self.0.path().display())
    }

    async fn execute(&self, sql: String) -> bool {
        let mut connection = sqlx::SqliteConnection::connect(&self.url()).await.expect("a connection");
        connection.execute(sqlx::AssertSqlSafe(sql)).await.is_ok()
    }
}

#[async_trait]
impl Database for SqliteFile {
    async fn connect(&self) -> Arc<dyn Engine> {
        engine(&self.url()).await
    }

    async fn overwrite(&self, job: JobId, column: &str, literal: &str) -> bool {
        self.execute(format!("UPDATE claude_jobs SET {column} = {literal} WHERE id = {job}")).await
    }

    async fn refuse(&self, worker: &str) {
        let sql = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON claude_jobs WHEN new.worker = '{worker}' \
             BEGIN SELECT raise(ABORT, 'refused'); END"
        );
        assert!(self.execute(sql).await);
    }
}

/// A database of its own on the server that all tests of the process share.
struct Postgres(postgres::Database, Mutex<Vec<Proxy>>);

impl Postgres {
    async fn make() -> Self {
        Self(postgres::database(), Mutex::default())
    }

    async fn execute(&self, sql: String) -> bool {
        let mut connection = sqlx::PgConnection::connect(&self.0.url()).await.expect("a connection");
        connection.execute(sqlx::AssertSqlSafe(sql)).await.is_ok()
    }
}

#[async_trait]
impl Database for Postgres {
    async fn connect(&self) -> Arc<dyn Engine> {
        engine(&self.0.url()).await
    }

    async fn overwrite(&self, job: JobId, column: &str, literal: &str) -> bool {
        self.execute(format!("UPDATE claude_jobs.jobs SET {column} = {literal} WHERE id = {job}")).await
    }

    async fn connect_losing(&self, bytes: &'static [u8], after: u32) -> Option<Arc<dyn Engine>> {
        let proxy = Proxy::to(self.0.socket()).await;
        let engine = engine(&self.0.url_by_port(proxy.port())).await;
        proxy.set_trap(Trap { bytes, after });
        self.1.lock().expect("no holder panics").push(proxy);
        Some(engine)
    }

    async fn refuse(&self, worker: &str) {
        let sql = format!("ALTER TABLE claude_jobs.jobs ADD CONSTRAINT refuse CHECK (worker <> '{worker}')");
        assert!(self.execute(sql).await);
    }
}

/// A database that exists on one connection: it cannot be opened twice, and nobody else writes into it.
struct SqliteInMemory(Arc<dyn Engine>);

impl SqliteInMemory {
    async fn make() -> Self {
        Self(engine("sqlite::memory:").await)
    }
}

#[async_trait]
impl Database for SqliteInMemory {
    async fn connect(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.0)
    }

    async fn overwrite(&self, _: JobId, _: &str, _: &str) -> bool {
        unreachable!("nobody else writes into it")
    }

    async fn refuse(&self, _: &str) {
        unreachable!("nobody else writes into it")
    }
}

async fn engine(url: &str) -> Arc<dyn Engine> {
    let queue = Queue::connect(url).await.expect("a database");
    Arc::clone(queue.engine())
}

suite!(sqlite, SqliteFile::make);
suite!(postgres_server, Postgres::make);
suite!(
    sqlite_in_memory,
    SqliteInMemory::make,
    [
        insert, unique, claim, limits, settle, fence, turn, admin, nodes, query, schedule, prune, model, log,
        feed
    ]
);
