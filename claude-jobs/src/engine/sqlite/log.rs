//! The logs of runs.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use super::SqliteEngine;
use super::batch::Statement;
use super::row::text;
use crate::clock::timestamp;
use crate::error::Result;
use crate::event::{LogEntry, LogPosition, LogRow};
use crate::job::JobId;

/// Only of the job's last attempt: a superseded run writes nothing, nor one of a job that is gone.
///
/// The join in this order: few are new. The primary keys.
static WRITE: Statement = Statement::new(
    "INSERT OR IGNORE INTO claude_jobs_log (job_id, attempt, number, at, event) SELECT new.* FROM (VALUES",
    5,
    ") AS new CROSS JOIN claude_jobs AS job WHERE job.id = new.column1 AND job.attempt = new.column2",
);

pub(super) async fn write(engine: &SqliteEngine, rows: &[LogRow]) -> Result<()> {
    let mut transaction = engine.begin().await?;
    for (sql, part) in WRITE.parts(rows) {
        let mut query = sqlx::query(sql);
        for row in part {
            query = query
                .bind(row.job.0)
                .bind(row.attempt)
                .bind(i64::try_from(row.number).unwrap_or(i64::MAX))
                .bind(row.at.as_microsecond())
                .bind(row.event.as_str());
        }
        query.execute(&mut *transaction).await?;
    }
    engine.written(transaction.commit().await)
}

/// One job's, from an attempt and a number on. The log's primary key
pub(super) const LOG: &str = "SELECT job_id, attempt, number, at, event FROM claude_jobs_log \
    WHERE job_id = ?1 AND (attempt, number) > (?2, ?3) ORDER BY attempt, number LIMIT ?4";

pub(super) async fn read(readers: &SqlitePool, after: &[LogPosition], limit: u32) -> Result<Vec<LogEntry>> {
    let mut entries = Vec::new();
    for place in after {
        let rows = sqlx::query(LOG)
            .bind(place.job.0)
            .bind(place.attempt)
            .bind(i64::try_from(place.number).unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(readers)
            .await?;
        for row in &rows {
            entries.push(entry(row)?);
        }
    }
    Ok(entries)
}

fn entry(row: &SqliteRow) -> sqlx::Result<LogEntry> {
    let row = LogRow {
        job: JobId(row.try_get("job_id")?),
        attempt: u32::try_from(row.try_get::<i64, _>("attempt")?).unwrap_or(u32::MAX),
        number: u64::try_from(row.try_get::<i64, _>("number")?).unwrap_or(0),
        at: timestamp(row.try_get("at")?),
        event: text(row, "event")?,
    };
    Ok(row.read())
}
