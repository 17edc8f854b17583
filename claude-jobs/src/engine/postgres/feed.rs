//! What those follow who look at the whole fleet.
//!
//! Transactions are seen in another order than they begin in, and one may be seen hours after it began. So a
//! reader goes not by a number but by snapshots: what this one sees and the one before did not is what is new,
//! all of it and nothing twice. No transaction that stays open holds the others back.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresEngine;
use super::moment::Moment;
use super::query::run;
use super::row::{optional_moment, optional_text, text};
use crate::clock::timestamp;
use crate::engine::{LedgerPage, LedgerRun, RunningRun};
use crate::error::Result;
use crate::event::Cursor;
use crate::event::Place;
use crate::job::{JobId, State};

/// jobs_executing
pub(super) const RUNNING: &str = "SELECT id, attempt, queue, worker, node, attempted_at FROM {schema}.jobs \
    WHERE state = 'executing'";

pub(super) const END: &str = "SELECT pg_current_snapshot()::text AS snapshot";

/// `$1`: the snapshot whose runs are told; `$2`: the one that is being told, or NULL for that of now; `$3` to
/// `$5`: the last run of it that was told; `$6`: of it only what ended since. The first row has the snapshot,
/// even when no run is new.
///
/// runs_written, jobs_pkey
pub(super) const LEDGER: &str = "SELECT target.until::text AS until, run.* \
    FROM (SELECT coalesce($2::text::pg_snapshot, pg_current_snapshot()) AS until) AS target \
    LEFT JOIN LATERAL (SELECT r.job_id, r.attempt, r.node, r.started_at, r.finished_at, r.session_id, r.outcome, \
            r.verdict, r.ending, r.cost_usd, r.answer, r.written::text AS place, j.queue, j.worker, \
            CASE WHEN j.attempt = r.attempt AND j.state <> 'executing' THEN j.state::text END AS state \
        FROM {schema}.runs AS r LEFT JOIN {schema}.jobs AS j ON j.id = r.job_id \
        WHERE r.written >= greatest(pg_snapshot_xmin($1::text::pg_snapshot), $3::text::xid8) \
            AND NOT pg_visible_in_snapshot(r.written, $1::text::pg_snapshot) \
            AND pg_visible_in_snapshot(r.written, target.until) \
            AND ($3::text IS NULL OR (r.written, r.job_id, r.attempt) > ($3::text::xid8, $4, $5)) \
            AND ($6::timestamptz IS NULL OR r.finished_at >= $6) \
        ORDER BY r.written, r.job_id, r.attempt LIMIT $7) AS run ON true";

/// A snapshot that sees nothing.
const NOTHING: &str = "1:1:";

pub(super) async fn running(engine: &PostgresEngine) -> Result<Vec<RunningRun>> {
    let rows = engine.rows(engine.query(&engine.sql.running)).await?;
    let read = |row: &PgRow| {
        Ok(RunningRun {
            job: JobId(row.try_get("id")?),
            attempt: u32::try_from(row.try_get::<i64, _>("attempt")?).unwrap_or(u32::MAX),
            queue: text(row, "queue")?,
            worker: text(row, "worker")?,
            node: optional_text(row, "node")?,
            started_at: optional_moment(row, "attempted_at")?.unwrap_or_default(),
        })
    };
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

pub(super) async fn end(engine: &PostgresEngine, since: Option<Timestamp>) -> Result<Cursor> {
    let now = text(&engine.row(engine.query(&engine.sql.ledger_end)).await?, "snapshot")?;
    Ok(match since {
        None => Cursor::after_all(engine.database_id, now),
        Some(since) => Cursor {
            until: Some(now),
            since: Some(since.as_microsecond()),
            ..Cursor::after_all(engine.database_id, NOTHING.to_owned())
        },
    })
}

pub(super) async fn ledger(engine: &PostgresEngine, after: &Cursor, limit: u32) -> Result<LedgerPage> {
    after.check(engine.database_id)?;
    let last = after.last.as_ref();
    let query = engine
        .query(&engine.sql.ledger)
        .bind(&after.told)
        .bind(after.until.as_deref())
        .bind(last.map(|place| place.written.as_str()))
        .bind(last.map(|place| place.job.0))
        .bind(last.map(|place| i64::from(place.attempt)))
        .bind(after.since.map(|since| Moment(timestamp(since))))
        .bind(i64::from(limit));
    let rows = engine.rows(query).await?;
    let until = text(super::first(&rows)?, "until")?;
    let mut runs = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| matches!(row.try_get::<Option<i64>, _>("job_id"), Ok(Some(_)))) {
        runs.push(ledger_run(row, after, &until)?);
    }
    let has_more = runs.len() >= limit as usize;
    let cursor = match runs.last() {
        Some(last) if has_more => last.cursor.clone(),
        // A snapshot of long ago that was told to its end: there is one of now.
        _ => Cursor::after_all(engine.database_id, until),
    };
    Ok(LedgerPage { runs, cursor, has_more: has_more || after.until.is_some() })
}

fn ledger_run(row: &PgRow, after: &Cursor, until: &str) -> Result<LedgerRun> {
    let (job, run) = (JobId(row.try_get("job_id")?), run(row)?);
    let place = Place { written: text(row, "place")?, job, attempt: run.attempt };
    Ok(LedgerRun {
        job,
        queue: text(row, "queue")?,
        worker: text(row, "worker")?,
        state: optional_text(row, "state")?.and_then(|state| State::from_name(&state)),
        cursor: Cursor { until: Some(until.to_owned()), last: Some(place), ..after.clone() },
        run,
    })
}
