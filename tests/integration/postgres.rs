//! The queue on PostgreSQL: what is special about it. What holds for every engine is in the suite.

use claude_jobs::prelude::*;
use claude_jobs_tests::postgres::{Database, database};

mod connecting;
mod inserting;
mod noticing;
mod pooler;
mod running;
mod trust;

/// A queue in a database of its own.
struct Server {
    database: Database,
    queue: Queue,
}

impl Server {
    async fn new() -> Server {
        let database = database();
        let queue = Queue::connect(&database.url()).await.expect("a new database");
        Server { database, queue }
    }

    fn url(&self) -> String {
        self.database.url()
    }

    /// A connection of the user's own.
    async fn connection(&self) -> sqlx::PgConnection {
        use sqlx::Connection;
        sqlx::PgConnection::connect(&self.url()).await.expect("the database is there")
    }
}

#[test]
fn each_database_is_fresh() {
    let (first, second) = (database(), database());
    assert_eq!(first.psql("select 1"), "1");

    first.psql("create table seen (id int)");
    assert_eq!(second.psql("select count(*) from pg_tables where tablename = 'seen'"), "0");
    assert!(first.url().starts_with("postgres://"));
    assert_ne!(first.url(), second.url());
}
