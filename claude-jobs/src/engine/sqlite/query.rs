//! Reads.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteExecutor, SqlitePool};

use super::insert::json;
use super::row::{self, job_columns, optional_text, text};
use crate::clock::timestamp;
use crate::engine::{BusyLook, Count, QueueSettings};
use crate::error::Result;
use crate::job::{AttemptError, Job, JobId, RunRow, State, Tokens};

pub(super) async fn job(readers: &SqlitePool, id: JobId) -> Result<Option<Job>> {
    let sql = concat!("SELECT ", job_columns!(), " FROM claude_jobs WHERE id = ?");
    let row = sqlx::query(sql).bind(id.0).fetch_optional(readers).await?;
    Ok(row.as_ref().map(row::job).transpose()?)
}

/// claude_jobs_executing
pub(super) const HELD: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM claude_jobs WHERE state = 'executing' AND queue = ? AND node = ? ORDER BY priority, scheduled_at, id"
);

pub(super) async fn held(readers: &SqlitePool, node: &str, queue: &str) -> Result<Vec<Job>> {
    let rows = sqlx::query(HELD).bind(queue).bind(node).fetch_all(readers).await?;
    Ok(rows.iter().map(row::job).collect::<sqlx::Result<_>>()?)
}

/// Index entries only: claude_jobs_over, claude_jobs_claim, claude_jobs_keyed, claude_jobs_due,
/// claude_jobs_executing
pub(super) const COUNTS: &str = "SELECT queue, state, sum(jobs) AS jobs FROM ( \
    SELECT queue, state, count(*) AS jobs FROM claude_jobs INDEXED BY claude_jobs_over \
        WHERE state IN ('completed', 'discarded', 'cancelled') GROUP BY state, queue \
    UNION ALL SELECT queue, 'available', count(*) FROM claude_jobs INDEXED BY claude_jobs_claim \
        WHERE state = 'available' AND concurrency_key IS NULL GROUP BY queue \
    UNION ALL SELECT queue, 'available', count(*) FROM claude_jobs INDEXED BY claude_jobs_keyed \
        WHERE state = 'available' AND concurrency_key IS NOT NULL GROUP BY queue \
    UNION ALL SELECT queue, state, count(*) FROM claude_jobs INDEXED BY claude_jobs_due \
        WHERE state IN ('scheduled', 'retryable') GROUP BY queue, state \
    UNION ALL SELECT queue, 'executing', count(*) FROM claude_jobs INDEXED BY claude_jobs_executing \
        WHERE state = 'executing' GROUP BY queue) GROUP BY queue, state ORDER BY queue, state";

pub(super) async fn counts(readers: &SqlitePool) -> Result<Vec<Count>> {
    let rows = sqlx::query(COUNTS).fetch_all(readers).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in rows {
        let state = text(&row, "state")?;
        let Some(state) = State::from_name(&state) else { continue };
        counts.push(Count { queue: text(&row, "queue")?, state, jobs: unsigned(row.try_get("jobs")?) });
    }
    Ok(counts)
}

/// Each by its index: with statistics that say how many jobs wait, SQLite would rather look for the first one
/// in the table.
pub(super) const IS_BUSY: &str = "WITH served AS (SELECT value AS name FROM json_each(?1)), \
         open AS (SELECT name FROM served WHERE name NOT IN (SELECT name FROM claude_jobs_queues \
             WHERE paused OR concurrency <= 0)), \
         known AS (SELECT value AS name FROM json_each(?2)) \
         SELECT EXISTS (SELECT 1 FROM claude_jobs INDEXED BY claude_jobs_executing \
             WHERE state = 'executing' \
             AND queue IN (SELECT name FROM served) AND worker IN (SELECT name FROM known)) \
         OR EXISTS (SELECT 1 FROM claude_jobs INDEXED BY claude_jobs_claim \
             WHERE state = 'available' AND concurrency_key IS NULL \
             AND queue IN (SELECT name FROM open) AND worker IN (SELECT name FROM known) \
             AND (session_host IS NULL OR session_host = ?4)) \
         OR EXISTS (SELECT 1 FROM claude_jobs INDEXED BY claude_jobs_keyed \
             WHERE state = 'available' AND concurrency_key IS NOT NULL \
             AND queue IN (SELECT name FROM open) AND worker IN (SELECT name FROM known) \
             AND (session_host IS NULL OR session_host = ?4)) \
         OR EXISTS (SELECT 1 FROM claude_jobs INDEXED BY claude_jobs_due \
             WHERE state IN ('scheduled', 'retryable') \
             AND queue IN (SELECT name FROM open) AND scheduled_at <= ?3 \
             AND worker IN (SELECT name FROM known) \
             AND (session_host IS NULL OR session_host = ?4))";

pub(super) async fn is_busy(readers: &SqlitePool, look: &BusyLook<'_>) -> Result<bool> {
    let busy = sqlx::query_scalar(IS_BUSY)
        .bind(json(&look.queues)?)
        .bind(json(&look.workers)?)
        .bind(look.now.as_microsecond())
        .bind(look.host)
        .fetch_one(readers)
        .await?;
    Ok(busy)
}

/// claude_jobs_errors' primary key
pub(super) const ERRORS: &str =
    "SELECT attempt, at, kind, message FROM claude_jobs_errors WHERE job_id = ? ORDER BY attempt";

pub(super) async fn errors(readers: &SqlitePool, id: JobId) -> Result<Vec<AttemptError>> {
    let rows = sqlx::query(ERRORS).bind(id.0).fetch_all(readers).await?;
    let read = |row: &SqliteRow| {
        Ok(AttemptError {
            attempt: small(row.try_get("attempt")?),
            at: timestamp(row.try_get("at")?),
            kind: text(row, "kind")?,
            message: text(row, "message")?,
        })
    };
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

/// claude_jobs_runs' primary key
pub(super) const RUNS: &str = "SELECT * FROM claude_jobs_runs WHERE job_id = ? ORDER BY attempt";

pub(super) async fn runs(readers: &SqlitePool, id: JobId) -> Result<Vec<RunRow>> {
    let rows = sqlx::query(RUNS).bind(id.0).fetch_all(readers).await?;
    Ok(rows.iter().map(run).collect::<sqlx::Result<_>>()?)
}

pub(super) fn run(row: &SqliteRow) -> sqlx::Result<RunRow> {
    let input: Option<i64> = row.try_get("input_tokens")?;
    let count =
        |column: &str| Ok::<_, sqlx::Error>(unsigned(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0)));
    let tokens = match input {
        None => None,
        Some(input) => Some(Tokens {
            input: unsigned(input),
            output: count("output_tokens")?,
            cache_read: count("cache_read_tokens")?,
            cache_creation: count("cache_creation_tokens")?,
        }),
    };
    Ok(RunRow {
        attempt: small(row.try_get("attempt")?),
        node: optional_text(row, "node")?,
        started_at: timestamp(row.try_get("started_at")?),
        finished_at: timestamp(row.try_get("finished_at")?),
        session_id: optional_text(row, "session_id")?,
        outcome: text(row, "outcome")?,
        verdict: text(row, "verdict")?,
        ending: text(row, "ending")?,
        cost_usd: row.try_get("cost_usd")?,
        turns: row.try_get::<Option<i64>, _>("turns")?.map(small),
        tokens,
        model: optional_text(row, "model")?,
        cli_version: optional_text(row, "cli_version")?,
        result: optional_text(row, "result")?,
        structured: optional_text(row, "structured")?.and_then(|text| serde_json::from_str(&text).ok()),
        last_events: json_or_default(row, "last_events")?,
        environment: json_or_default(row, "environment")?,
    })
}

pub(super) async fn queues(readers: &SqlitePool) -> Result<Vec<QueueSettings>> {
    let sql = "SELECT name, paused, concurrency FROM claude_jobs_queues ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(readers).await?;
    Ok(rows.iter().map(settings).collect::<sqlx::Result<_>>()?)
}

pub(super) async fn queue(executor: impl SqliteExecutor<'_>, name: &str) -> Result<QueueSettings> {
    let sql = "SELECT name, paused, concurrency FROM claude_jobs_queues WHERE name = ?";
    match sqlx::query(sql).bind(name).fetch_optional(executor).await? {
        Some(row) => Ok(settings(&row)?),
        None => Ok(QueueSettings { name: name.to_owned(), ..QueueSettings::default() }),
    }
}

/// The settings in a row of the table's columns.
pub(super) fn settings(row: &SqliteRow) -> sqlx::Result<QueueSettings> {
    Ok(QueueSettings {
        name: text(row, "name")?,
        paused: row.try_get("paused")?,
        concurrency: row.try_get::<Option<i64>, _>("concurrency")?.map(small),
    })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The nearest number that exists: rows may be written by hand.
pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// What a column of JSON holds; nothing where it cannot be read.
pub(super) fn json_or_default<T: Default + serde::de::DeserializeOwned>(
    row: &SqliteRow,
    column: &str,
) -> sqlx::Result<T> {
    let text = optional_text(row, column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
