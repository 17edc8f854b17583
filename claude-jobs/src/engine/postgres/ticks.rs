//! The ticks of schedules: recorded once each, in the transaction that inserts their jobs.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connections::Work;
use super::insert::insert_more;
use super::moment::Moment;
use super::row::{cleaned, moment, text};
use super::schema::lock_number;
use super::{PostgresEngine, first};
use crate::engine::{Tick, TickAction, TickOutcome, TickRow};
use crate::error::Result;
use crate::job::JobId;
use crate::schedule::IfBusy;

/// ticks_pkey
pub(super) const IS_RECORDED: &str =
    "SELECT EXISTS (SELECT 1 FROM {schema}.ticks WHERE entry = $1 AND due = $2) AS found";

/// ticks_pkey, jobs_pkey
pub(super) const HAS_UNFINISHED: &str = "SELECT EXISTS (SELECT 1 FROM {schema}.ticks AS tick \
    JOIN {schema}.jobs AS job ON job.id = tick.job_id \
    WHERE tick.entry = $1 AND job.state NOT IN ('completed', 'discarded', 'cancelled')) AS found";

pub(super) const RECORD: &str = "INSERT INTO {schema}.ticks (entry, due, schedule, recorded_at, outcome, \
    job_id, missed) VALUES ($1, $2, $3, $4, $5, $6, $7)";

pub(super) async fn tick(engine: &PostgresEngine, tick: &Tick) -> Result<Option<TickRow>> {
    let mut work = engine.connections.begin().await?;
    let recorded = tick_in(engine, &mut work, tick).await;
    work.finish(recorded).await
}

async fn tick_in(engine: &PostgresEngine, work: &mut Work, tick: &Tick) -> Result<Option<TickRow>> {
    // Whoever records a tick of this entry is alone with it.
    let number = lock_number(&format!("ticks of {}", tick.entry), &engine.address.schema);
    work.rows(engine.query(&engine.sql.lock).bind(number)).await?;
    let entry = cleaned(&tick.entry);
    let query = engine.query(&engine.sql.is_recorded).bind(&entry).bind(Moment(tick.due));
    if first(&work.rows(query).await?)?.try_get("found")? {
        return Ok(None);
    }
    let (outcome, job_id) = act(engine, work, tick, &entry).await?;
    let query = engine.query(&engine.sql.record_tick).bind(entry).bind(Moment(tick.due));
    let query = query.bind(cleaned(&tick.schedule)).bind(Moment(tick.recorded_at)).bind(outcome.name());
    let missed = i64::try_from(tick.missed).unwrap_or(i64::MAX);
    work.rows(query.bind(job_id.map(|id| id.0)).bind(missed)).await?;
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
        let rows = work.rows(engine.query(&engine.sql.has_unfinished).bind(entry)).await?;
        if first(&rows)?.try_get("found")? {
            return Ok((TickOutcome::Busy, None));
        }
    }
    let inserted = insert_more(engine, work, std::slice::from_ref(&**job)).await?;
    let is_duplicate = inserted.first().is_some_and(|inserted| inserted.duplicate);
    let outcome = if is_duplicate { TickOutcome::Duplicate } else { TickOutcome::Inserted };
    Ok((outcome, inserted.first().map(|inserted| inserted.job.id)))
}

/// ticks_pkey
pub(super) const LAST_TICK: &str =
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

/// The newest of an entry stays: it says from when on ticks count.
pub(super) const PRUNE_TICKS: &str = "WITH gone AS (DELETE FROM {schema}.ticks AS old WHERE due < $1 \
    AND EXISTS (SELECT 1 FROM {schema}.ticks AS newer WHERE newer.entry = old.entry AND newer.due > old.due) \
    RETURNING 1) SELECT count(*) AS ticks FROM gone";

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
