//! Reads.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresEngine;
use super::answer::Answer;
use super::moment::Moment;
use super::row::{self, job_columns, moment, optional_text, text};
use crate::engine::{BusyLook, Count, QueueSettings};
use crate::error::Result;
use crate::job::{AttemptError, Job, JobId, RunRow, State};

// Each statement names the index it relies on.

/// jobs_pkey
pub(super) const JOB: &str = concat!("SELECT ", job_columns!(), " FROM {schema}.jobs WHERE id = $1");

pub(super) async fn job(engine: &PostgresEngine, id: JobId) -> Result<Option<Job>> {
    let rows = engine.rows(engine.query(&engine.sql.job).bind(id.0)).await?;
    Ok(rows.first().map(row::job).transpose()?)
}

/// Index entries only: jobs_over, jobs_claim, jobs_keyed, jobs_due, jobs_executing. Where rows were written
/// since the last vacuum, PostgreSQL looks at them, too.
pub(super) const COUNTS: &str = "SELECT queue, state, sum(jobs)::bigint AS jobs FROM ( \
    SELECT queue, state::text AS state, count(*) AS jobs FROM {schema}.jobs \
        WHERE state IN ('completed', 'discarded', 'cancelled') GROUP BY state, queue \
    UNION ALL SELECT queue, 'available', count(*) FROM {schema}.jobs \
        WHERE state = 'available' AND concurrency_key IS NULL GROUP BY queue \
    UNION ALL SELECT queue, 'available', count(*) FROM {schema}.jobs \
        WHERE state = 'available' AND concurrency_key IS NOT NULL GROUP BY queue \
    UNION ALL SELECT queue, state::text, count(*) FROM {schema}.jobs \
        WHERE state IN ('scheduled', 'retryable') GROUP BY queue, state \
    UNION ALL SELECT queue, 'executing', count(*) FROM {schema}.jobs WHERE state = 'executing' \
        GROUP BY queue) AS counted GROUP BY queue, state";

pub(super) async fn counts(engine: &PostgresEngine) -> Result<Vec<Count>> {
    let rows = engine.rows(engine.query(&engine.sql.counts)).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(state) = State::from_name(&text(&row, "state")?) else { continue };
        counts.push(Count { queue: text(&row, "queue")?, state, jobs: unsigned(row.try_get("jobs")?) });
    }
    // By our order of text, whatever the database's collation says.
    counts.sort_by(|one, other| (&one.queue, one.state.name()).cmp(&(&other.queue, other.state.name())));
    Ok(counts)
}

/// jobs_executing, jobs_claim, jobs_keyed, jobs_due
pub(super) const IS_BUSY: &str = "WITH open AS (SELECT served.name FROM unnest($1::text[]) AS served(name) \
        WHERE NOT EXISTS (SELECT 1 FROM {schema}.queues AS q WHERE q.name = served.name \
            AND (q.paused OR q.concurrency <= 0))) \
    SELECT EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'executing' \
            AND queue = ANY ($1) AND worker = ANY ($2)) \
        OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL \
            AND queue = ANY (ARRAY (SELECT name FROM open)) AND worker = ANY ($2) \
            AND (session_host IS NULL OR session_host = $4)) \
        OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NOT NULL \
            AND queue = ANY (ARRAY (SELECT name FROM open)) AND worker = ANY ($2) \
            AND (session_host IS NULL OR session_host = $4)) \
        OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE state IN ('scheduled', 'retryable') \
            AND queue = ANY (ARRAY (SELECT name FROM open)) AND scheduled_at <= $3 AND worker = ANY ($2) \
            AND (session_host IS NULL OR session_host = $4)) \
    AS busy";

pub(super) async fn is_busy(engine: &PostgresEngine, look: &BusyLook<'_>) -> Result<bool> {
    let query = engine.query(&engine.sql.is_busy).bind(look.queues).bind(look.workers);
    let query = query.bind(Moment(look.now)).bind(look.host);
    Ok(engine.row(query).await?.try_get("busy")?)
}

/// errors_pkey
pub(super) const ERRORS: &str =
    "SELECT attempt, at, kind, message FROM {schema}.errors WHERE job_id = $1 ORDER BY attempt";

pub(super) async fn errors(engine: &PostgresEngine, id: JobId) -> Result<Vec<AttemptError>> {
    let rows = engine.rows(engine.query(&engine.sql.errors).bind(id.0)).await?;
    let read = |row: &PgRow| {
        Ok(AttemptError {
            attempt: small(row.try_get("attempt")?),
            at: moment(row, "at")?,
            kind: text(row, "kind")?,
            message: text(row, "message")?,
        })
    };
    Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
}

/// runs_pkey
pub(super) const RUNS: &str = "SELECT attempt, node, started_at, finished_at, session_id, outcome, verdict, \
    ending, cost_usd, answer FROM {schema}.runs WHERE job_id = $1 ORDER BY attempt";

pub(super) async fn runs(engine: &PostgresEngine, id: JobId) -> Result<Vec<RunRow>> {
    let rows = engine.rows(engine.query(&engine.sql.runs).bind(id.0)).await?;
    Ok(rows.iter().map(run).collect::<sqlx::Result<_>>()?)
}

pub(super) fn run(row: &PgRow) -> sqlx::Result<RunRow> {
    let run = RunRow {
        attempt: small(row.try_get("attempt")?),
        node: optional_text(row, "node")?,
        started_at: moment(row, "started_at")?,
        finished_at: moment(row, "finished_at")?,
        session_id: optional_text(row, "session_id")?,
        outcome: text(row, "outcome")?,
        verdict: text(row, "verdict")?,
        ending: text(row, "ending")?,
        cost_usd: row.try_get("cost_usd")?,
        turns: None,
        tokens: None,
        model: None,
        cli_version: None,
        result: None,
        structured: None,
        last_events: Vec::new(),
        environment: BTreeMap::new(),
    };
    Ok(Answer::read(optional_text(row, "answer")?.as_deref()).into_run(run))
}

pub(super) const QUEUES: &str =
    "SELECT name, paused, concurrency FROM {schema}.queues ORDER BY name COLLATE \"C\"";

pub(super) async fn queues(engine: &PostgresEngine) -> Result<Vec<QueueSettings>> {
    let rows = engine.rows(engine.query(&engine.sql.queues)).await?;
    Ok(rows.iter().map(settings).collect::<sqlx::Result<_>>()?)
}

pub(super) fn settings(row: &PgRow) -> sqlx::Result<QueueSettings> {
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
fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}
