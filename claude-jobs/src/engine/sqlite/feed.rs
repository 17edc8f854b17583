//! What those follow who look at the whole fleet.
//!
//! There is one writer, so that numbers are given in the order of the commits: whoever has seen one has seen all
//! below it.

use jiff::Timestamp;
use sqlx::{Row, SqlitePool};

use super::SqliteEngine;
use super::query::run;
use super::row::{optional_text, text};
use crate::clock::timestamp;
use crate::engine::{LedgerPage, LedgerRun, RunningRun};
use crate::error::{Error, Result};
use crate::event::Cursor;
use crate::job::{JobId, State};

/// claude_jobs_executing
pub(super) const RUNNING: &str = "SELECT id, attempt, queue, worker, node, attempted_at \
    FROM claude_jobs INDEXED BY claude_jobs_executing WHERE state = 'executing'";

/// The highest number that was ever given.
pub(super) const END: &str =
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'claude_jobs_runs'), 0)";

/// The primary keys
pub(super) const LEDGER: &str = "SELECT run.*, whose.queue, whose.worker, \
    CASE WHEN whose.attempt = run.attempt AND whose.state <> 'executing' THEN whose.state END AS state \
    FROM claude_jobs_runs AS run LEFT JOIN claude_jobs AS whose ON whose.id = run.job_id \
    WHERE run.number > ?1 AND (run.number > ?2 OR run.finished_at >= ?3) ORDER BY run.number LIMIT ?4";

pub(super) async fn running(readers: &SqlitePool) -> Result<Vec<RunningRun>> {
    let rows = sqlx::query(RUNNING).fetch_all(readers).await?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in &rows {
        runs.push(RunningRun {
            job: JobId(row.try_get("id")?),
            attempt: u32::try_from(row.try_get::<i64, _>("attempt")?).unwrap_or(u32::MAX),
            queue: text(row, "queue")?,
            worker: text(row, "worker")?,
            node: optional_text(row, "node")?,
            started_at: timestamp(row.try_get::<Option<i64>, _>("attempted_at")?.unwrap_or(0)),
        });
    }
    Ok(runs)
}

pub(super) async fn end(engine: &SqliteEngine, since: Option<Timestamp>) -> Result<Cursor> {
    let end: i64 = sqlx::query_scalar(END).fetch_one(&engine.readers).await?;
    Ok(match since {
        None => Cursor::after_all(engine.database_id, end.to_string()),
        Some(since) => Cursor {
            until: Some(end.to_string()),
            since: Some(since.as_microsecond()),
            ..Cursor::after_all(engine.database_id, "0".to_owned())
        },
    })
}

pub(super) async fn ledger(engine: &SqliteEngine, after: &Cursor, limit: u32) -> Result<LedgerPage> {
    after.check(engine.database_id)?;
    let told = number(&after.told)?;
    let until = after.until.as_deref().map(number).transpose()?.unwrap_or(told);
    let rows = sqlx::query(LEDGER)
        .bind(told)
        .bind(if after.since.is_some() { until } else { told })
        .bind(after.since.unwrap_or(i64::MIN))
        .bind(limit)
        .fetch_all(&engine.readers)
        .await?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in &rows {
        let number: i64 = row.try_get("number")?;
        let state = optional_text(row, "state")?;
        let rest = number < until;
        runs.push(LedgerRun {
            job: JobId(row.try_get("job_id")?),
            queue: text(row, "queue")?,
            worker: text(row, "worker")?,
            state: state.and_then(|state| State::from_name(&state)),
            run: run(row)?,
            cursor: Cursor {
                told: number.to_string(),
                until: after.until.clone().filter(|_| rest),
                since: after.since.filter(|_| rest),
                ..after.clone()
            },
        });
    }
    let has_more = runs.len() >= limit as usize;
    let last = runs.last().map(|run| run.cursor.clone()).unwrap_or_else(|| after.clone());
    let cursor = if has_more {
        last
    } else {
        // Nothing up to there is left.
        let all = number(&last.told)?.max(until);
        Cursor::after_all(engine.database_id, all.to_string())
    };
    Ok(LedgerPage { runs, cursor, has_more })
}

fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::Configuration(format!("this is no cursor: `{}`", text.escape_default())))
}
