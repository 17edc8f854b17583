//! A look at a database without changing it: for `doctor`.

use sqlx::{PgConnection, Row};

use super::address::{Address, Schema};
use super::connections::Connections;
use super::problem::POOLER;
use super::schema::names;
use super::{explain, schema};
use crate::engine::Inspection;
use crate::error::{Error, Result};

/// What is there. Nothing is made.
pub(crate) async fn inspect(url: &str) -> Result<Inspection> {
    let address = Address::parse(url)?;
    let connections = Connections::new(&address);
    match schema::up_to_date(&connections, &address.schema).await {
        Ok(Some(_)) => Ok(Inspection::Ready),
        Ok(None) => Ok(Inspection::NotMigrated),
        Err(error) => Err(explain(&address, error)),
    }
}

/// Whether jobs can be inserted and run in a database that is ready.
pub(crate) async fn check_use(url: &str) -> Result<()> {
    let address = Address::parse(url)?;
    let connections = Connections::new(&address);
    let checked = async {
        if address.notifications && is_pooled(&connections).await? {
            let said = format!("sessions share one server process: {POOLER}");
            return Err(Error::Database(said.into()));
        }
        may_write(&connections, &address.schema).await
    };
    checked.await.map_err(|error| explain(&address, error))
}

/// Whether two of our connections have had the same server process, as behind a pooler that changes servers per
/// transaction. While the second is in a transaction, the first moves to another one.
async fn is_pooled(connections: &Connections) -> Result<bool> {
    let (mut first, mut second) = (connections.open().await?, connections.open().await?);
    let one = process(&mut first).await?;
    sqlx::raw_sql("BEGIN").execute(&mut second).await?;
    let is_shared = one == process(&mut second).await? || one != process(&mut first).await?;
    sqlx::raw_sql("COMMIT").execute(&mut second).await?;
    Ok(is_shared)
}

/// The server's process. Asked without a prepared statement.
async fn process(connection: &mut PgConnection) -> Result<String> {
    Ok(sqlx::raw_sql("SELECT pg_backend_pid()::text AS pid").fetch_one(connection).await?.try_get("pid")?)
}

async fn may_write(connections: &Connections, schema: &Schema) -> Result<()> {
    let sql = "SELECT current_setting('transaction_read_only')::bool AS reads_only, pg_is_in_recovery() AS is_standby";
    let row = &connections.rows(sqlx::query(sql).persistent(false)).await?[0];
    if row.try_get("is_standby")? {
        return Err(Error::Database(
            "the server is a standby, which only reads: connect to the primary one".into(),
        ));
    }
    if row.try_get("reads_only")? {
        let remedy = "set `default_transaction_read_only` to off for it, or connect to another";
        return Err(Error::Database(format!("this database or role only reads: {remedy}").into()));
    }
    let sql = "SELECT string_agg(lacking || ' on ' || name, '; ') AS lacking FROM (SELECT name, \
            string_agg(needed, ', ') AS lacking FROM unnest($1::text[]) AS name, \
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed \
            WHERE NOT has_table_privilege(to_regclass(name), needed) GROUP BY name ORDER BY name) AS tables";
    let tables: Vec<String> = names().map(|name| schema.fill(&format!("{{schema}}.{name}"))).collect();
    let row = &connections.rows(sqlx::query(sql).bind(tables).persistent(false)).await?[0];
    match row.try_get::<Option<String>, _>("lacking")? {
        None => Ok(()),
        Some(lacking) => Err(Error::Database(
            format!("this role has no {lacking}: let the owner of the tables grant them").into(),
        )),
    }
}

/// The URL without its password; nothing of one that cannot be read.
pub(crate) fn shown(url: &str) -> String {
    Address::parse(url).map_or_else(|_| "postgres://…".to_owned(), |address| address.shown)
}

#[cfg(test)]
mod tests {
    use claude_jobs_tests::postgres::database;

    use super::*;
    use crate::engine::postgres::PostgresEngine;

    #[tokio::test]
    async fn a_look_finds_what_there_is_and_makes_nothing() {
        let database = database();
        let url = database.url();
        assert_eq!(inspect(&url).await.expect("it is reachable"), Inspection::NotMigrated);
        let schemas = "select count(*) from pg_namespace where nspname = 'claude_jobs'";
        assert_eq!(database.psql(schemas), "0");
        PostgresEngine::connect(&url).await.expect("an empty database");
        assert_eq!(inspect(&url).await.expect("it is reachable"), Inspection::Ready);
        let other = inspect(&format!("{url}&schema=other")).await;
        assert_eq!(other.expect("it is reachable"), Inspection::NotMigrated);
        database.psql("delete from claude_jobs.migrations");
        assert_eq!(inspect(&url).await.expect("it is reachable"), Inspection::NotMigrated);
        assert_eq!(database.psql("select count(*) from claude_jobs.migrations"), "0");
        database.psql("insert into claude_jobs.migrations values (1000)");
        let error = inspect(&url).await.expect_err("newer").to_string();
        assert!(error.contains("schema version 1000"), "{error}");
        let name = database.psql("select current_database()");
        let error = inspect(&url.replace(&name, "nothing")).await.expect_err("no such database").to_string();
        assert!(error.contains("createdb nothing"), "{error}");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(shown("postgres://me:secret@db.example/app"), "postgres://me@db.example:5432/app");
        assert_eq!(shown("postgres://me:sec@ret@db:port/app"), "postgres://…");
    }
}
