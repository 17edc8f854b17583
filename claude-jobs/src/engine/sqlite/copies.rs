//! A copy of a database becomes a database of its own, so that its runtimes leave the original's runs and sessions alone.

use sqlx::{SqliteConnection, SqliteExecutor, SqlitePool};
use uuid::Uuid;

use super::file::Origin;
use super::row::state_bit;
use crate::clock::Clock;
use crate::engine::COPIED;
use crate::error::{Error, Result};
use crate::job::State;

/// Notes where the database was found. If it is a copy, it becomes a database of its own: it gets another id, jobs that were
/// running are cancelled, and sessions of the original are continued in forks.
pub(super) async fn note_origin(writer: &SqlitePool, found: &Origin) -> Result<()> {
    let text = serde_json::to_string(found).map_err(|error| Error::Database(error.into()))?;
    if stored(writer).await?.as_ref() == Some(&text) {
        return Ok(());
    }
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    if let Some(said) = stored(&mut *transaction).await? {
        // An operator empties the entry to make this database count as a copy (docs/running-a-fleet.md).
        let said: Option<Origin> = serde_json::from_str(&said).ok();
        if said.is_none_or(|said| said.is_copied_to(found)) {
            separate(&mut transaction).await?;
        }
    }
    set(&mut transaction, "origin", &text).await?;
    Ok(transaction.commit().await?)
}

async fn separate(connection: &mut SqliteConnection) -> Result<()> {
    set(connection, "database_id", &Uuid::now_v7().to_string()).await?;
    sqlx::query("DELETE FROM claude_jobs_nodes").execute(&mut *connection).await?;
    // claude_jobs_executing
    sqlx::query(
        "UPDATE claude_jobs SET state = 'cancelled', finished_at = ?, reason = ?, cancel_requested = 0, \
         unique_key = CASE WHEN unique_states & ? THEN unique_key END WHERE state = 'executing'",
    )
    .bind(Clock::system().now().as_microsecond())
    .bind(COPIED)
    .bind(state_bit(State::Cancelled))
    .execute(&mut *connection)
    .await?;
    // All rows, once.
    sqlx::query(
        "UPDATE claude_jobs SET continuation = json_set(continuation, '$.session.fork', json('true')) \
         WHERE json_valid(continuation) AND continuation -> '$.session' IS NOT NULL",
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn stored(executor: impl SqliteExecutor<'_>) -> Result<Option<String>> {
    let sql = "SELECT value FROM claude_jobs_meta WHERE key = 'origin'";
    Ok(sqlx::query_scalar(sql).fetch_optional(executor).await?)
}

async fn set(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO claude_jobs_meta (key, value) VALUES (?, ?)";
    sqlx::query(sql).bind(key).bind(value).execute(connection).await?;
    Ok(())
}
