//! What running attempts leave before they are settled: that claude has started, and what it has answered.

use sqlx::{Row, SqlitePool};

use super::SqliteEngine;
use super::row::text;
use crate::error::Result;
use crate::job::JobId;

/// Behind the fence of a settlement: only while the attempt runs.
const KEEP: &str = "INSERT OR REPLACE INTO claude_jobs_answers (job_id, attempt, answer) \
    SELECT id, attempt, ?3 FROM claude_jobs WHERE id = ?1 AND attempt = ?2 AND state = 'executing'";

pub(super) async fn keep(writer: &SqlitePool, job: JobId, attempt: u32, answer: &str) -> Result<bool> {
    let kept = sqlx::query(KEEP).bind(job.0).bind(attempt).bind(answer).execute(writer).await?;
    Ok(kept.rows_affected() == 1)
}

/// The primary key.
const READ: &str = "SELECT attempt, answer FROM claude_jobs_answers WHERE job_id = ?";

pub(super) async fn read(readers: &SqlitePool, job: JobId) -> Result<Option<(u32, String)>> {
    let row = sqlx::query(READ).bind(job.0).fetch_optional(readers).await?;
    Ok(row.map(|row| Ok::<_, sqlx::Error>((row.try_get("attempt")?, text(&row, "answer")?))).transpose()?)
}

const MARK: &str = "UPDATE claude_jobs SET begun = ?2 WHERE id = ?1 AND attempt = ?2 AND state = 'executing'";

pub(super) async fn mark_begun(engine: &SqliteEngine, attempts: &[(JobId, u32)]) -> Result<()> {
    let mut transaction = engine.begin().await?;
    for (job, attempt) in attempts {
        sqlx::query(MARK).bind(job.0).bind(attempt).execute(&mut *transaction).await?;
    }
    engine.written(transaction.commit().await)
}
