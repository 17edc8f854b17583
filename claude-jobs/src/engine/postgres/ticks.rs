//! The ticks of schedules: recorded once each, in the transaction that inserts their jobs.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresEngine;
use super::connections::Work;
use super::insert::insert_all;
use super::moment::Moment;
use super::row::{cleaned, moment, text};
use crate::engine::{Tick, TickAction, TickOutcome, TickRow};
use crate::error::Result;
use crate::job::{JobId, Written};
use crate::schedule::IfBusy;

/// Whoever writes the row does what is to be done; the others wait for its commit and find it there.
/// ticks_pkey
pub(super) const RECORD: &str = "INSERT INTO {schema}.ticks (entry, due, schedule, recorded_at, outcome, missed) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (entry, due) DO NOTHING RETURNING entry";

/// ticks_pkey
pub(super) const NOTE: &str =
    "UPDATE {schema}.ticks SET outcome = $3, job_id = $4 WHERE entry = $1 AND due = $2";

/// ticks_pkey, jobs_pkey
pub(super) const IS_BUSY: &str = "SELECT EXISTS (SELECT 1 FROM {schema}.ticks AS tick \
    JOIN {schema}.jobs AS job ON job.id = tick.job_id \
    WHERE tick.entry = $1 AND job.state NOT IN ('completed', 'discarded', 'cancelled')) AS is_busy";

/// jobs_unique, then ticks_pkey
pub(super) const RELEASE_OWN: &str = "UPDATE {schema}.jobs AS j SET unique_key = NULL WHERE j.unique_key = $1 \
    AND EXISTS (SELECT 1 FROM {schema}.ticks AS tick \
    WHERE tick.entry = $2 AND tick.job_id = j.id AND tick.outcome = 'inserted')";

pub(super) async fn tick(engine: &PostgresEngine, tick: &Tick) -> Result<Option<TickRow>> {
    let mut work = engine.connections.begin().await?;
    let recorded = record(engine, &mut work, tick).await;
    work.finish(recorded).await
}

async fn record(engine: &PostgresEngine, work: &mut Work, tick: &Tick) -> Result<Option<TickRow>> {
    let entry = cleaned(&tick.entry);
    let query = engine.query(&engine.sql.record_tick).bind(&entry).bind(Moment(tick.due));
    let query = query.bind(cleaned(&tick.schedule)).bind(Moment(tick.recorded_at));
    let query = query.bind(TickOutcome::Missed.name()).bind(i64::try_from(tick.missed).unwrap_or(i64::MAX));
    if work.rows(query).await?.is_empty() {
        return Ok(None);
    }
    let (outcome, job_id) = act(engine, work, tick, &entry).await?;
    let query = engine.query(&engine.sql.note_tick).bind(&entry).bind(Moment(tick.due));
    work.rows(query.bind(outcome.name()).bind(job_id.map(|id| id.0))).await?;
    Ok(Some(tick.row(outcome, job_id)))
}

async fn act(
    engine: &PostgresEngine,
    work: &mut Work,
    tick: &Tick,
    entry: &str,
) -> Result<(TickOutcome, Option<JobId>)> {
    let (job, if_busy) = match &tick.action {
        TickAction::FirstSeen => return Ok((TickOutcome::FirstSeen, None)),
        TickAction::Miss => return Ok((TickOutcome::Missed, None)),
        TickAction::Insert(job, if_busy) => (job, *if_busy),
    };
    if if_busy == IfBusy::Skip {
        let rows = work.rows(engine.query(&engine.sql.is_tick_busy).bind(entry)).await?;
        if super::first(&rows)?.try_get("is_busy")? {
            return Ok((TickOutcome::Busy, None));
        }
    }
    if let Some(unique) = &job.unique {
        work.rows(engine.query(&engine.sql.release_own).bind(unique.key.as_str()).bind(entry)).await?;
    }
    let written = insert_all(engine, work, std::slice::from_ref(&**job)).await?;
    let is_duplicate = matches!(written[..], [Written::Duplicate(_)]);
    let outcome = if is_duplicate { TickOutcome::Duplicate } else { TickOutcome::Inserted };
    Ok((outcome, written.first().map(Written::id)))
}

/// ticks_pkey
pub(super) const LAST: &str =
    "SELECT * FROM {schema}.ticks WHERE entry = $1 AND due <= $2 ORDER BY due DESC LIMIT 1";

pub(super) async fn last_tick(
    engine: &PostgresEngine,
    entry: &str,
    now: Timestamp,
) -> Result<Option<TickRow>> {
    let query = engine.query(&engine.sql.last_tick).bind(cleaned(entry)).bind(Moment(now));
    Ok(engine.rows(query).await?.first().map(read).transpose()?)
}

/// ticks_pkey
pub(super) const TICKS: &str = "SELECT * FROM {schema}.ticks WHERE entry = $1 ORDER BY due DESC LIMIT $2";

pub(super) async fn ticks(engine: &PostgresEngine, entry: &str, limit: u32) -> Result<Vec<TickRow>> {
    let query = engine.query(&engine.sql.ticks).bind(cleaned(entry)).bind(i64::from(limit));
    Ok(engine.rows(query).await?.iter().map(read).collect::<sqlx::Result<_>>()?)
}

/// Two kinds of ticks stay: the newest of each entry, from which later ticks count, and those whose jobs hold a unique key,
/// because the entry's next tick takes that key over. ticks_pkey, jobs_pkey
pub(super) const PRUNE: &str = "WITH pruned AS (DELETE FROM {schema}.ticks AS old WHERE due < $1 \
    AND EXISTS (SELECT 1 FROM {schema}.ticks AS newer WHERE newer.entry = old.entry AND newer.due > old.due) \
    AND NOT EXISTS (SELECT 1 FROM {schema}.jobs AS job WHERE job.id = old.job_id \
    AND job.unique_key IS NOT NULL AND old.outcome = 'inserted') \
    RETURNING 1) SELECT count(*) AS ticks FROM pruned";

pub(super) async fn prune_ticks(engine: &PostgresEngine, before: Timestamp) -> Result<u64> {
    let row = engine.row(engine.query(&engine.sql.prune_ticks).bind(Moment(before))).await?;
    Ok(u64::try_from(row.try_get::<i64, _>("ticks")?).unwrap_or(0))
}

fn read(row: &PgRow) -> sqlx::Result<TickRow> {
    Ok(TickRow {
        entry: text(row, "entry")?,
        schedule: text(row, "schedule")?,
        due: moment(row, "due")?,
        recorded_at: moment(row, "recorded_at")?,
        // The table refuses other names.
        outcome: TickOutcome::from_name(&text(row, "outcome")?).unwrap_or(TickOutcome::Missed),
        job_id: row.try_get::<Option<i64>, _>("job_id")?.map(JobId),
        missed: u64::try_from(row.try_get::<i64, _>("missed")?).unwrap_or(0),
    })
}
