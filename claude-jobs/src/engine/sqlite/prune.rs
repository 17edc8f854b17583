//! The removal of jobs that are over for long.

use jiff::Timestamp;
use sqlx::SqlitePool;

use super::SqliteEngine;
use super::insert::json;
use crate::error::Result;
use crate::job::State;

/// claude_jobs_finished
pub(super) const PRUNE: &str = "DELETE FROM claude_jobs WHERE id IN (SELECT id FROM claude_jobs \
     WHERE state = ?1 AND finished_at IS NOT NULL AND finished_at < ?2 ORDER BY finished_at LIMIT +?3) \
     RETURNING id";

/// claude_jobs_finished
pub(super) const PRUNABLE: &str =
    "SELECT count(*) FROM claude_jobs WHERE state = ? AND finished_at IS NOT NULL AND finished_at < ?";

pub(super) async fn prune(engine: &SqliteEngine, state: State, before: Timestamp, limit: u32) -> Result<u64> {
    let mut transaction = engine.begin().await?;
    let ids: Vec<i64> = sqlx::query_scalar(PRUNE)
        .bind(state.name())
        .bind(before.as_microsecond())
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
    for sql in [
        "DELETE FROM claude_jobs_runs WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM claude_jobs_errors WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM claude_jobs_log WHERE job_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM claude_jobs_answers WHERE job_id IN (SELECT value FROM json_each(?))",
    ] {
        sqlx::query(sql).bind(json(&ids)?).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(ids.len() as u64)
}

pub(super) async fn prunable(readers: &SqlitePool, state: State, before: Timestamp) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(PRUNABLE)
        .bind(state.name())
        .bind(before.as_microsecond())
        .fetch_one(readers)
        .await?;
    Ok(u64::try_from(count).unwrap_or(0))
}
