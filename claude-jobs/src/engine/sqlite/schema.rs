//! Versioned migrations.
//!
//! Not sqlx's migrator: its table (`_sqlx_migrations`) belongs to the user's own migrations in the
//! same file, and the two would refuse each other's versions.

use sqlx::SqlitePool;
use uuid::Uuid;

use crate::error::{Error, Result};

/// Every migration, oldest first; the version is the position, from 1.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_tables.sql")];

/// Brings the tables up to date and answers with the database's id. Safe to run from many processes
/// at once: whoever holds the write lock migrates, the others find it done.
pub(super) async fn migrate(writer: &SqlitePool) -> Result<Uuid> {
    if let Some(id) = up_to_date(writer).await? {
        return Ok(id);
    }
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS claude_jobs_migrations (version INTEGER PRIMARY KEY) STRICT")
        .execute(&mut *transaction)
        .await?;
    let version: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM claude_jobs_migrations")
        .fetch_one(&mut *transaction)
        .await?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version.max(0) as usize) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO claude_jobs_migrations (version) VALUES (?)")
            .bind(index as i64 + 1)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query("INSERT OR IGNORE INTO claude_jobs_meta (key, value) VALUES ('database_id', ?)")
        .bind(Uuid::now_v7().to_string())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    up_to_date(writer).await?.ok_or_else(|| Error::Database("the migrations left no database id".into()))
}

/// The database's id, if its tables are at our version; a read only, so that a process that merely
/// looks does not wait for writers.
pub(super) async fn up_to_date(writer: &SqlitePool) -> Result<Option<Uuid>> {
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'claude_jobs_migrations')",
    )
    .fetch_one(writer)
    .await?;
    if !exists {
        return Ok(None);
    }
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM claude_jobs_migrations")
        .fetch_one(writer)
        .await?;
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(Error::NewerSchema { found, known });
    }
    if found < known {
        return Ok(None);
    }
    let id: Option<String> =
        sqlx::query_scalar("SELECT value FROM claude_jobs_meta WHERE key = 'database_id'")
            .fetch_optional(writer)
            .await?;
    Ok(id.and_then(|id| Uuid::parse_str(&id).ok()))
}
