//! Versioned migrations.
//!
//! Not sqlx's migrator: its table belongs to the user's own migrations, and ours live in a schema whose
//! name is only known when the program runs.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use sqlx::Row;
use uuid::Uuid;

use super::address::Schema;
use super::connections::{Connections, Work};
use super::statements::Statement;
use crate::error::{Error, Result};

/// Every migration, oldest first; the version is the position, from 1.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/postgres/0001_tables.sql")];

/// The oldest server we are tested for: 14.
const OLDEST_SERVER: i32 = 140_000;

/// Brings the tables up to date and answers with the database's id. Safe to run from many processes at
/// once: whoever holds the lock migrates, the others find it done. A process that may not create tables
/// can use those that are up to date.
pub(super) async fn migrate(connections: &Connections, schema: &Schema) -> Result<Uuid> {
    if let Some(id) = up_to_date(connections, schema).await? {
        return Ok(id);
    }
    let mut work = connections.begin().await?;
    let migrated = migrate_alone(&mut work, schema).await;
    work.finish(migrated).await?;
    up_to_date(connections, schema)
        .await?
        .ok_or_else(|| Error::Database("the migrations left no database id".into()))
}

async fn migrate_alone(work: &mut Work, schema: &Schema) -> Result<()> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock_number("migrations", schema));
    work.rows(lock.persistent(false)).await?;
    // To build an index takes as long as it takes.
    work.script(&Statement::of("SET LOCAL statement_timeout = 0", schema)).await?;
    if !exists(work, schema).await? {
        work.script(&Statement::of("CREATE SCHEMA {schema}", schema)).await?;
    }
    if !has_tables(work, schema).await? {
        let table = "CREATE TABLE {schema}.migrations (version bigint PRIMARY KEY)";
        work.script(&Statement::of(table, schema)).await?;
    }
    let version = Statement::of(VERSION, schema);
    let version: i64 =
        work.rows(sqlx::query(version.text()).persistent(false)).await?[0].try_get("version")?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version.max(0) as usize) {
        work.script(&Statement::of(migration, schema)).await?;
        let done = Statement::of("INSERT INTO {schema}.migrations (version) VALUES ($1)", schema);
        work.rows(sqlx::query(done.text()).bind(index as i64 + 1).persistent(false)).await?;
    }
    let id = Statement::of(
        "INSERT INTO {schema}.meta (key, value) VALUES ('database_id', $1) ON CONFLICT (key) DO NOTHING",
        schema,
    );
    work.rows(sqlx::query(id.text()).bind(Uuid::now_v7().to_string()).persistent(false)).await?;
    Ok(())
}

const VERSION: &str = "SELECT coalesce(max(version), 0) AS version FROM {schema}.migrations";

pub(super) const DATABASE_ID: &str = "SELECT value FROM {schema}.meta WHERE key = 'database_id'";

/// From the catalogue, which everybody may read.
pub(super) const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1 \
    AND ($2::text IS NULL OR EXISTS (SELECT 1 FROM pg_catalog.pg_class AS c \
        WHERE c.relnamespace = n.oid AND c.relname = $2))) AS found";

async fn exists(work: &mut Work, schema: &Schema) -> Result<bool> {
    let query = sqlx::query(EXISTS).bind(schema.name()).bind(None::<&str>);
    Ok(work.rows(query.persistent(false)).await?[0].try_get("found")?)
}

/// The tables and views of these names in the schema, each with its columns.
const TABLES: &str = "SELECT c.relname::text AS name, coalesce((SELECT string_agg( \
        a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) \
        FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') AS columns \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relname = ANY($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";

/// Whether our tables are there. One transaction makes them all, so that two of them stand for the rest. A table with a
/// name of ours, but without those two beside it, belongs to another program: an error.
async fn has_tables(work: &mut Work, schema: &Schema) -> Result<bool> {
    let names: Vec<String> = names().map(|name| schema.own(name)).collect();
    let query = sqlx::query(TABLES).bind(schema.name()).bind(names);
    let rows = work.rows(query.persistent(false)).await?;
    let found = rows.iter().map(|row| Ok((row.try_get::<String, _>("name")?, row.try_get("columns")?)));
    let found: BTreeMap<String, String> = found.collect::<Result<_>>()?;
    let is_ours =
        |(name, columns): (&str, &str)| found.get(&schema.own(name)).is_some_and(|is| is == columns);
    if [("migrations", "version bigint"), ("meta", "key text, value text")].into_iter().all(is_ours) {
        return Ok(true);
    }
    match found.keys().next() {
        None => Ok(false),
        Some(name) => Err(Error::Database(
            format!(
                "the schema `{}` has a table `{name}` of somebody else: name another schema in the URL, such as \
                 `?schema=claude_jobs`",
                schema.name()
            )
            .into(),
        )),
    }
}

/// What our tables are named.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let created = MIGRATIONS.iter().flat_map(|migration| migration.split("CREATE TABLE {schema}.").skip(1));
    created.filter_map(|rest| rest.split([' ', '(']).next()).chain(["migrations"])
}

/// The database's id, if its tables are at our version; reads only.
pub(super) async fn up_to_date(connections: &Connections, schema: &Schema) -> Result<Option<Uuid>> {
    let mut work = connections.begin().await?;
    let found = look(&mut work, schema).await;
    work.finish(found).await
}

async fn look(work: &mut Work, schema: &Schema) -> Result<Option<Uuid>> {
    check_server(work).await?;
    if !has_tables(work, schema).await? {
        return Ok(None);
    }
    let version = Statement::of(VERSION, schema);
    let found: i64 = work.rows(sqlx::query(version.text()).persistent(false)).await?[0].try_get("version")?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(Error::NewerSchema { found, known });
    }
    if found < known {
        return Ok(None);
    }
    let id = Statement::of(DATABASE_ID, schema);
    let rows = work.rows(sqlx::query(id.text()).persistent(false)).await?;
    let id = rows.first().map(|row| row.try_get::<String, _>("value")).transpose()?;
    Ok(id.and_then(|id| Uuid::parse_str(&id).ok()))
}

async fn check_server(work: &mut Work) -> Result<()> {
    let sql = "SELECT current_setting('server_version_num')::int AS number, \
        current_setting('server_version') AS version";
    let rows = work.rows(sqlx::query(sql).persistent(false)).await?;
    let (number, version): (i32, String) = (rows[0].try_get("number")?, rows[0].try_get("version")?);
    check_version(number, &version)
}

/// `number` as the server gives it: 140005 is 14.5.
fn check_version(number: i32, version: &str) -> Result<()> {
    if number >= OLDEST_SERVER {
        return Ok(());
    }
    let oldest = OLDEST_SERVER / 10_000;
    Err(Error::Database(
        format!("the server is PostgreSQL {version}: version {oldest} or newer is needed").into(),
    ))
}

/// The number of an advisory lock of ours: advisory locks are shared by all programs of a database.
pub(super) fn lock_number(what: &str, schema: &Schema) -> i64 {
    let digest = Sha256::digest(format!("claude-jobs {what} {}", schema.name()));
    i64::from_be_bytes(std::array::from_fn(|index| digest[index]))
}

#[cfg(test)]
mod tests {
    use claude_jobs_tests::postgres::database;
    use sqlx::{Connection, Executor, SqlSafeStr};

    use super::*;
    use crate::engine::postgres::PostgresEngine;
    use crate::engine::postgres::explain::code;

    #[tokio::test]
    async fn in_public_our_tables_stand_beside_those_of_others() {
        let database = database();
        let others = "create table jobs (id int); create table migrations (id int, migration text); \
            create type state as enum ('on'); create index jobs_claim on jobs (id)";
        database.psql(others);
        let engine = PostgresEngine::connect(&format!("{}&schema=public", database.url())).await;
        let engine = engine.expect("no name of ours is theirs");
        let theirs = "select count(*) from pg_class where relnamespace = 'public'::regnamespace \
            and relname not like 'claude_jobs%'";
        assert_eq!(database.psql(theirs), "3");
        assert_eq!(database.psql("select count(*) from claude_jobs"), "0");
        let mut connection = engine.connections.open().await.expect("a session like any other");
        for (name, statement) in engine.sql.all() {
            // Some statements need their parameters' types to be prepared. A missing name is an error before that.
            let Err(error) = (&mut connection).prepare(statement.text().into_sql_str()).await else {
                continue;
            };
            let found = code(&error.into()).unwrap_or_default();
            assert!(!["42P01", "42703", "42704", "3F000"].contains(&found.as_str()), "{name}: {found}");
        }
        connection.close().await.expect("a connection");
        PostgresEngine::connect(&format!("{}&schema=public", database.url()))
            .await
            .expect("they are up to date");
    }

    #[tokio::test]
    async fn tables_of_somebody_else_are_told_and_left() {
        for (named, theirs) in [
            ("migrations", "create table app.migrations (version bigint)"),
            ("migrations", "create table app.migrations (version text, name text)"),
            ("jobs", "create table app.jobs (id int)"),
            ("queues", "create view app.queues as select 1"),
            ("meta", "create table app.meta (key text, value text)"),
        ] {
            let database = database();
            database.psql(&format!("create schema app; {theirs}"));
            let error =
                PostgresEngine::connect(&format!("{}&schema=app", database.url())).await.expect_err(theirs);
            let told =
                format!("the schema `app` has a table `{named}` of somebody else: name another schema");
            assert!(error.to_string().contains(&told), "{error}");
            let tables =
                "select count(*) from pg_class where relnamespace = 'app'::regnamespace and relkind <> 'i'";
            assert_eq!(database.psql(tables), "1");
        }
    }

    #[test]
    fn an_old_server_is_refused_by_its_number() {
        for (number, version) in
            [(140_000, "14.0"), (150_018, "15.18 (Debian 15.18-0+deb12u1)"), (180_000, "18.0")]
        {
            check_version(number, version).expect(version);
        }
        for (number, version) in [(90_624, "9.6.24"), (130_022, "13.22"), (139_999, "14devel")] {
            let error = check_version(number, version).expect_err(version).to_string();
            let expected = format!("the server is PostgreSQL {version}: version 14 or newer is needed");
            assert!(error.contains(&expected), "{error}");
        }
    }
}
