//! Versioned migrations.
//!
//! Not sqlx's migrator: its table belongs to the user's own migrations, and ours live in a schema whose
//! name is only known when the program runs.

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
    if !exists(work, schema, None).await? {
        work.script(&Statement::of("CREATE SCHEMA {schema}", schema)).await?;
    }
    if !exists(work, schema, Some("migrations")).await? {
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

async fn exists(work: &mut Work, schema: &Schema, table: Option<&str>) -> Result<bool> {
    let rows = work.rows(sqlx::query(EXISTS).bind(schema.name()).bind(table).persistent(false)).await?;
    Ok(rows[0].try_get("found")?)
}

/// The database's id, if its tables are at our version; reads only.
pub(super) async fn up_to_date(connections: &Connections, schema: &Schema) -> Result<Option<Uuid>> {
    let mut work = connections.begin().await?;
    let found = look(&mut work, schema).await;
    work.finish(found).await
}

async fn look(work: &mut Work, schema: &Schema) -> Result<Option<Uuid>> {
    check_server(work).await?;
    if !exists(work, schema, Some("migrations")).await? {
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
    use super::*;

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
