//! The logs of runs.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresEngine;
use super::moment::Moment;
use super::row::{moment, text};
use crate::error::Result;
use crate::event::{LogEntry, LogPosition, LogRow};
use crate::job::JobId;

/// Only of the job's last attempt: a superseded run writes nothing. The job cannot be removed meanwhile, so that
/// no rows outlive it; whoever claims or settles it does not wait. jobs_pkey, log_pkey
pub(super) const WRITE: &str = "INSERT INTO {schema}.log (job_id, attempt, number, at, event) \
    SELECT new.job_id, new.attempt, new.number, new.at, new.event \
    FROM (SELECT unnest($1::bigint[]) AS job_id, unnest($2::bigint[]) AS attempt, unnest($3::bigint[]) AS number, \
        unnest($4::timestamptz[]) AS at, unnest($5::text[]) AS event) AS new \
    JOIN {schema}.jobs AS j ON j.id = new.job_id AND j.attempt = new.attempt \
    FOR KEY SHARE OF j ON CONFLICT DO NOTHING";

/// log_pkey
pub(super) const LOG: &str = "SELECT log.job_id, log.attempt, log.number, log.at, log.event \
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS place(job_id, attempt, number) \
    CROSS JOIN LATERAL (SELECT * FROM {schema}.log AS l WHERE l.job_id = place.job_id \
        AND (l.attempt, l.number) > (place.attempt, place.number) ORDER BY l.attempt, l.number LIMIT $4) AS log";

pub(super) async fn write(engine: &PostgresEngine, rows: &[LogRow]) -> Result<()> {
    // In one order for all, so that two nodes do not wait for each other.
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|row| (row.job, row.attempt, row.number));
    let query = engine
        .query(&engine.sql.write_log)
        .bind(rows.iter().map(|row| row.job.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| i64::from(row.attempt)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| signed(row.number)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| Moment(row.at)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.as_str()).collect::<Vec<_>>());
    engine.rows(query).await?;
    Ok(())
}

pub(super) async fn read(
    engine: &PostgresEngine,
    after: &[LogPosition],
    limit: u32,
) -> Result<Vec<LogEntry>> {
    if after.is_empty() {
        return Ok(Vec::new());
    }
    let query = engine
        .query(&engine.sql.log)
        .bind(after.iter().map(|place| place.job.0).collect::<Vec<_>>())
        .bind(after.iter().map(|place| i64::from(place.attempt)).collect::<Vec<_>>())
        .bind(after.iter().map(|place| signed(place.number)).collect::<Vec<_>>())
        .bind(i64::from(limit));
    let rows = engine.rows(query).await?;
    Ok(rows.iter().map(entry).collect::<sqlx::Result<_>>()?)
}

fn entry(row: &PgRow) -> sqlx::Result<LogEntry> {
    let row = LogRow {
        job: JobId(row.try_get("job_id")?),
        attempt: u32::try_from(row.try_get::<i64, _>("attempt")?).unwrap_or(u32::MAX),
        number: u64::try_from(row.try_get::<i64, _>("number")?).unwrap_or(0),
        at: moment(row, "at")?,
        event: text(row, "event")?,
    };
    Ok(row.read())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
