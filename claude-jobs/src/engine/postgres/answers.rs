//! What running attempts leave before they are settled: that claude has started, and what it has answered.

use sqlx::Row;

use super::PostgresEngine;
use super::row::{cleaned, text};
use crate::error::Result;
use crate::job::JobId;

/// Behind the fence of a settlement: only while the attempt runs, and it is not settled meanwhile. jobs_pkey,
/// answers_pkey
pub(super) const KEEP: &str = "INSERT INTO {schema}.answers (job_id, attempt, answer) \
    SELECT id, attempt, $3 FROM {schema}.jobs WHERE id = $1 AND attempt = $2 \
        AND state >= 'executing' AND state <= 'executing' FOR NO KEY UPDATE \
    ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, answer = excluded.answer RETURNING job_id";

pub(super) async fn keep(engine: &PostgresEngine, job: JobId, attempt: u32, answer: &str) -> Result<bool> {
    let query = engine.query(&engine.sql.keep_answer).bind(job.0).bind(i64::from(attempt));
    Ok(!engine.rows(query.bind(cleaned(answer))).await?.is_empty())
}

/// answers_pkey
pub(super) const READ: &str = "SELECT attempt, answer FROM {schema}.answers WHERE job_id = $1";

pub(super) async fn read(engine: &PostgresEngine, job: JobId) -> Result<Option<(u32, String)>> {
    let rows = engine.rows(engine.query(&engine.sql.answer).bind(job.0)).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let attempt: i64 = row.try_get("attempt")?;
    Ok(Some((u32::try_from(attempt).unwrap_or(u32::MAX), text(row, "answer")?)))
}

/// jobs_pkey
pub(super) const MARK_BEGUN: &str = "UPDATE {schema}.jobs AS j SET begun = g.attempt \
    FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::bigint[]) AS attempt) AS g \
    WHERE j.id = g.id AND j.attempt = g.attempt AND j.state >= 'executing' AND j.state <= 'executing'";

pub(super) async fn mark_begun(engine: &PostgresEngine, attempts: &[(JobId, u32)]) -> Result<()> {
    let ids: Vec<_> = attempts.iter().map(|(job, _)| job.0).collect();
    let numbers: Vec<_> = attempts.iter().map(|(_, attempt)| i64::from(*attempt)).collect();
    engine.rows(engine.query(&engine.sql.mark_begun).bind(ids).bind(numbers)).await?;
    Ok(())
}
