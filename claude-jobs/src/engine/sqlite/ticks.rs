//! The ticks of schedules: recorded once each, in the transaction that inserts their jobs.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::SqliteEngine;
use super::insert::insert_in;
use super::row::text;
use crate::clock::timestamp;
use crate::engine::{Tick, TickAction, TickOutcome, TickRow};
use crate::error::Result;
use crate::job::{JobId, Written};
use crate::schedule::IfBusy;

/// The primary key of claude_jobs_ticks, then that of claude_jobs.
pub(super) const IS_BUSY: &str = "SELECT EXISTS (SELECT 1 FROM claude_jobs_ticks AS tick \
     JOIN claude_jobs AS job ON job.id = tick.job_id \
     WHERE tick.entry = ? AND job.state NOT IN ('completed', 'discarded', 'cancelled'))";

/// claude_jobs_unique, then the primary key of claude_jobs_ticks.
pub(super) const RELEASE_OWN: &str = "UPDATE claude_jobs SET unique_key = NULL WHERE unique_key = ? AND EXISTS \
     (SELECT 1 FROM claude_jobs_ticks AS tick \
     WHERE tick.entry = ? AND tick.job_id = claude_jobs.id AND tick.outcome = 'inserted')";

pub(super) async fn tick(engine: &SqliteEngine, tick: &Tick) -> Result<Option<TickRow>> {
    let mut transaction = engine.begin().await?;
    if is_recorded(&mut transaction, tick).await? {
        return Ok(None);
    }
    let (outcome, job_id) = act(&mut transaction, tick).await?;
    sqlx::query(
        "INSERT INTO claude_jobs_ticks (entry, due, schedule, recorded_at, outcome, job_id, missed) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&tick.entry)
    .bind(tick.due.as_microsecond())
    .bind(&tick.schedule)
    .bind(tick.recorded_at.as_microsecond())
    .bind(outcome.name())
    .bind(job_id.map(|id| id.0))
    .bind(i64::try_from(tick.missed).unwrap_or(i64::MAX))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(tick.row(outcome, job_id)))
}

/// The answer stays true: the transaction holds the write lock.
async fn is_recorded(connection: &mut SqliteConnection, tick: &Tick) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM claude_jobs_ticks WHERE entry = ? AND due = ?)";
    let recorded = sqlx::query_scalar(sql).bind(&tick.entry).bind(tick.due.as_microsecond());
    Ok(recorded.fetch_one(connection).await?)
}

async fn act(connection: &mut SqliteConnection, tick: &Tick) -> Result<(TickOutcome, Option<JobId>)> {
    let (job, if_busy) = match &tick.action {
        TickAction::FirstSeen => return Ok((TickOutcome::FirstSeen, None)),
        TickAction::Miss => return Ok((TickOutcome::Missed, None)),
        TickAction::Insert(job, if_busy) => (job, *if_busy),
    };
    if if_busy == IfBusy::Skip
        && sqlx::query_scalar(IS_BUSY).bind(&tick.entry).fetch_one(&mut *connection).await?
    {
        return Ok((TickOutcome::Busy, None));
    }
    if let Some(unique) = &job.unique {
        sqlx::query(RELEASE_OWN).bind(&unique.key).bind(&tick.entry).execute(&mut *connection).await?;
    }
    let written = insert_in(connection, std::slice::from_ref(&**job)).await?;
    let is_duplicate = matches!(written[..], [Written::Duplicate(_)]);
    let outcome = if is_duplicate { TickOutcome::Duplicate } else { TickOutcome::Inserted };
    Ok((outcome, written.first().map(Written::id)))
}

pub(super) async fn last_tick(readers: &SqlitePool, entry: &str, now: Timestamp) -> Result<Option<TickRow>> {
    let sql = "SELECT * FROM claude_jobs_ticks WHERE entry = ? AND due <= ? ORDER BY due DESC LIMIT 1";
    let row = sqlx::query(sql).bind(entry).bind(now.as_microsecond()).fetch_optional(readers).await?;
    Ok(row.as_ref().map(read).transpose()?)
}

pub(super) async fn ticks(readers: &SqlitePool, entry: &str, limit: u32) -> Result<Vec<TickRow>> {
    let sql = "SELECT * FROM claude_jobs_ticks WHERE entry = ? ORDER BY due DESC LIMIT ?";
    let rows = sqlx::query(sql).bind(entry).bind(limit).fetch_all(readers).await?;
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

/// Two kinds of ticks stay: the newest of each entry, from which later ticks count, and those whose jobs hold a unique key,
/// because the entry's next tick takes that key over.
pub(super) async fn prune_ticks(engine: &SqliteEngine, before: Timestamp) -> Result<u64> {
    let sql = "DELETE FROM claude_jobs_ticks AS old WHERE due < ? AND EXISTS (SELECT 1 \
         FROM claude_jobs_ticks AS newer WHERE newer.entry = old.entry AND newer.due > old.due) \
         AND NOT EXISTS (SELECT 1 FROM claude_jobs AS job WHERE job.id = old.job_id \
         AND job.unique_key IS NOT NULL AND old.outcome = 'inserted')";
    let result = sqlx::query(sql).bind(before.as_microsecond()).execute(&engine.writer).await?;
    Ok(result.rows_affected())
}

fn read(row: &SqliteRow) -> sqlx::Result<TickRow> {
    Ok(TickRow {
        entry: text(row, "entry")?,
        schedule: text(row, "schedule")?,
        due: timestamp(row.try_get("due")?),
        recorded_at: timestamp(row.try_get("recorded_at")?),
        // The table refuses other names.
        outcome: TickOutcome::from_name(&text(row, "outcome")?).unwrap_or(TickOutcome::Missed),
        job_id: row.try_get::<Option<i64>, _>("job_id")?.map(JobId),
        missed: u64::try_from(row.try_get::<i64, _>("missed")?).unwrap_or(0),
    })
}
