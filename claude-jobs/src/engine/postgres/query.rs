//! Reads.

use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};

use super::PostgresEngine;
use super::moment::Moment;
use super::row::{self, cleaned, job_columns, moment, optional_moment, optional_text, text};
use crate::engine::{Count, Filter, QueueSettings};
use crate::error::Result;
use crate::job::{AttemptError, Job, JobId, RunRow, State, Tokens};

// Each statement names the index it relies on.

/// jobs_pkey
pub(super) const JOB: &str = concat!("SELECT ", job_columns!(), " FROM {schema}.jobs WHERE id = $1");

pub(super) async fn job(engine: &PostgresEngine, id: JobId) -> Result<Option<Job>> {
    let rows = engine.rows(engine.query(&engine.sql.job).bind(id.0)).await?;
    Ok(rows.first().map(row::job).transpose()?)
}

/// What a list starts with.
pub(super) const JOBS: &str = concat!("SELECT ", job_columns!(), " FROM {schema}.jobs WHERE true");

/// jobs_pkey; with a state, the partial index that has it: the state is written out, because a parameter
/// could not prove that a row is in it.
pub(super) async fn jobs(engine: &PostgresEngine, filter: &Filter) -> Result<Vec<Job>> {
    let mut sql = list(engine, filter);
    let mut work = engine.connections.begin().await?;
    let found = async {
        // Planned each time, by what the filter is and what the statistics say.
        work.control(FREE_PLANS).await?;
        work.rows(sql.build().persistent(false)).await
    };
    let found = found.await;
    row::jobs(&work.finish(found).await?)
}

/// Undoes, for one transaction, what a session is bound to.
const FREE_PLANS: &str = "SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on; \
    SET LOCAL enable_hashjoin = on; SET LOCAL enable_sort = on";

fn list(engine: &PostgresEngine, filter: &Filter) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::<Postgres>::new(engine.address.schema.fill(JOBS));
    if let Some(state) = filter.state {
        sql.push(format_args!(" AND state = '{}'", state.name()));
    }
    if let Some(queue) = &filter.queue {
        sql.push(" AND queue = ").push_bind(cleaned(queue));
    }
    if let Some(worker) = &filter.worker {
        sql.push(" AND worker = ").push_bind(cleaned(worker));
    }
    if let Some(tag) = &filter.tag {
        sql.push(" AND tags @> jsonb_build_array(").push_bind(cleaned(tag)).push("::text)");
    }
    if let Some(before) = filter.before {
        sql.push(" AND id < ").push_bind(before.0);
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.limit));
    sql
}

/// Reads the whole table.
pub(super) const COUNTS: &str =
    "SELECT queue, state, count(*) AS jobs FROM {schema}.jobs GROUP BY queue, state ORDER BY queue, state";

pub(super) async fn counts(engine: &PostgresEngine) -> Result<Vec<Count>> {
    let mut work = engine.connections.begin().await?;
    let found = async {
        work.control(FREE_PLANS).await?;
        work.rows(engine.query(&engine.sql.counts).persistent(false)).await
    };
    let found = found.await;
    let rows = work.finish(found).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(state) = State::from_name(&text(&row, "state")?) else { continue };
        counts.push(Count { queue: text(&row, "queue")?, state, jobs: unsigned(row.try_get("jobs")?) });
    }
    // By our order of text, whatever the database's collation says.
    counts.sort_by(|one, other| (&one.queue, one.state.name()).cmp(&(&other.queue, other.state.name())));
    Ok(counts)
}

/// jobs_executing, jobs_claim, jobs_due
pub(super) const IS_BUSY: &str = "WITH open AS (SELECT served.name FROM unnest($1::text[]) AS served(name) \
        WHERE NOT EXISTS (SELECT 1 FROM {schema}.queues AS q WHERE q.name = served.name \
            AND (q.paused OR q.paused_until > $3 OR q.concurrency <= 0))) \
    SELECT EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'executing' \
            AND queue = ANY ($1) AND worker = ANY ($2)) \
        OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NULL \
            AND queue = ANY (ARRAY (SELECT name FROM open)) AND worker = ANY ($2)) \
        OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'available' AND concurrency_key IS NOT NULL \
            AND queue = ANY (ARRAY (SELECT name FROM open)) AND worker = ANY ($2)) \
        OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE state IN ('scheduled', 'retryable') \
            AND queue = ANY (ARRAY (SELECT name FROM open)) AND scheduled_at <= $3 AND worker = ANY ($2)) \
    AS busy";

pub(super) async fn is_busy(
    engine: &PostgresEngine,
    queues: &[&str],
    workers: &[&str],
    now: Timestamp,
) -> Result<bool> {
    let query = engine.query(&engine.sql.is_busy).bind(queues).bind(workers).bind(Moment(now));
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
    ending, cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, model, \
    cli_version, result, structured, last_events, environment \
    FROM {schema}.runs WHERE job_id = $1 ORDER BY attempt";

pub(super) async fn runs(engine: &PostgresEngine, id: JobId) -> Result<Vec<RunRow>> {
    let rows = engine.rows(engine.query(&engine.sql.runs).bind(id.0)).await?;
    Ok(rows.iter().map(run).collect::<sqlx::Result<_>>()?)
}

fn run(row: &PgRow) -> sqlx::Result<RunRow> {
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
        started_at: moment(row, "started_at")?,
        finished_at: moment(row, "finished_at")?,
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

pub(super) const QUEUES: &str =
    "SELECT name, paused, paused_until, concurrency FROM {schema}.queues ORDER BY name COLLATE \"C\"";

pub(super) async fn queues(engine: &PostgresEngine) -> Result<Vec<QueueSettings>> {
    let rows = engine.rows(engine.query(&engine.sql.queues)).await?;
    Ok(rows.iter().map(settings).collect::<sqlx::Result<_>>()?)
}

pub(super) fn settings(row: &PgRow) -> sqlx::Result<QueueSettings> {
    Ok(QueueSettings {
        name: text(row, "name")?,
        paused: row.try_get("paused")?,
        paused_until: optional_moment(row, "paused_until")?,
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

/// What a column of JSON holds; nothing where it cannot be read.
fn json_or_default<T: Default + serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> sqlx::Result<T> {
    let text = optional_text(row, column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
