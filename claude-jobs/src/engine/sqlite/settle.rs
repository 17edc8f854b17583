//! Settlements: the end of runs, each all of it or nothing.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::batch::Statement;
use super::insert::{insert_in, json};
use super::row::state_bit;
use crate::error::Result;
use crate::job::State;
use crate::settlement::Settlement;

/// The fence: only the run that the row still stands for may change it. A job that somebody asked to
/// cancel meanwhile does not go back to waiting.
static UPDATE: Statement = Statement::new(
    "WITH new (id, attempt, state, bit, waits, scheduled_at, finished_at, reason, uncounted, snoozed, meta, \
     resume, now) AS (VALUES",
    13,
    ") UPDATE claude_jobs SET \
     state = CASE WHEN cancel_requested AND new.waits THEN 'cancelled' ELSE new.state END, \
     finished_at = CASE WHEN cancel_requested AND new.waits THEN new.now ELSE new.finished_at END, \
     reason = CASE WHEN cancel_requested AND new.waits THEN 'cancelled on request' ELSE new.reason END, \
     scheduled_at = new.scheduled_at, \
     uncounted = min(claude_jobs.uncounted + new.uncounted, 4294967295), \
     snoozes = min(snoozes + new.snoozed, 4294967295), \
     meta = coalesce(new.meta, claude_jobs.meta), resume = new.resume, node = NULL, cancel_requested = 0, \
     unique_key = CASE WHEN unique_states & \
         (CASE WHEN cancel_requested AND new.waits THEN 64 ELSE new.bit END) THEN unique_key END \
     FROM new WHERE claude_jobs.id = new.id AND claude_jobs.attempt = new.attempt \
     AND claude_jobs.state = 'executing' RETURNING claude_jobs.id, claude_jobs.attempt",
);

/// `OR REPLACE`, here and below: past the fence there can be no such row, unless somebody turned the
/// attempt back by hand; that must not keep the job from ever being settled.
static INSERT_RUNS: Statement = Statement::new(
    "INSERT OR REPLACE INTO claude_jobs_runs (job_id, attempt, node, started_at, finished_at, session_id, \
     outcome, verdict, ending, cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, \
     cache_creation_tokens, model, cli_version, result, structured, last_events, environment) VALUES",
    21,
    "",
);

static INSERT_ERRORS: Statement = Statement::new(
    "INSERT OR REPLACE INTO claude_jobs_errors (job_id, attempt, at, kind, message) VALUES",
    5,
    "",
);

/// Writes settlements inside a transaction that holds the write lock.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<Vec<bool>> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let mut ours = update_rows(connection, settlements, now).await?;
    // Of the same run twice in a batch only the first counts.
    let settled: Vec<bool> = settlements.iter().map(|new| ours.remove(&(new.id.0, new.attempt))).collect();
    let written: Vec<&Settlement> =
        settlements.iter().zip(&settled).filter(|(_, is_ours)| **is_ours).map(|(new, _)| new).collect();
    insert_runs(connection, &written).await?;
    insert_errors(connection, &written).await?;
    for settlement in &written {
        insert_in(connection, &settlement.follow_ons).await?;
        pause_queue(connection, settlement).await?;
    }
    Ok(settled)
}

/// The runs that were the job's own.
async fn update_rows(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<HashSet<(i64, u32)>> {
    debug_assert_eq!(state_bit(State::Cancelled), 64, "the statement names it");
    let mut ours = HashSet::with_capacity(settlements.len());
    // Of two rows for one job SQLite would write either.
    let mut seen = HashSet::with_capacity(settlements.len());
    let first: Vec<_> = settlements.iter().filter(|new| seen.insert((new.id, new.attempt))).collect();
    for (sql, part) in UPDATE.parts(&first) {
        let mut query = sqlx::query(sql);
        for new in part {
            query = query
                .bind(new.id.0)
                .bind(new.attempt)
                .bind(new.state.name())
                .bind(state_bit(new.state))
                .bind(!new.state.is_final())
                .bind(new.scheduled_at.as_microsecond())
                .bind(new.finished_at.map(|at| at.as_microsecond()))
                .bind(new.reason.as_deref())
                .bind(new.uncounted)
                .bind(new.snoozed)
                .bind(new.meta.as_ref().map(json).transpose()?)
                .bind(new.resume.as_deref())
                .bind(now.as_microsecond());
        }
        for row in query.fetch_all(&mut *connection).await? {
            ours.insert((row.try_get(0)?, row.try_get(1)?));
        }
    }
    Ok(ours)
}

async fn insert_runs(connection: &mut SqliteConnection, settlements: &[&Settlement]) -> Result<()> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for (sql, part) in INSERT_RUNS.parts(settlements) {
        let mut query = sqlx::query(sql);
        for settlement in part {
            let run = &settlement.run;
            let tokens = run.tokens;
            query = query
                .bind(settlement.id.0)
                .bind(settlement.attempt)
                .bind(run.node.as_deref())
                .bind(run.started_at.as_microsecond())
                .bind(run.finished_at.as_microsecond())
                .bind(run.session_id.as_deref())
                .bind(run.outcome.as_str())
                .bind(run.verdict.as_str())
                .bind(run.ending.as_str())
                .bind(run.cost_usd)
                .bind(run.turns)
                .bind(tokens.map(|tokens| count(tokens.input)))
                .bind(tokens.map(|tokens| count(tokens.output)))
                .bind(tokens.map(|tokens| count(tokens.cache_read)))
                .bind(tokens.map(|tokens| count(tokens.cache_creation)))
                .bind(run.model.as_deref())
                .bind(run.cli_version.as_deref())
                .bind(run.result.as_deref())
                .bind(run.structured.as_ref().map(ToString::to_string))
                .bind(json(&run.last_events)?)
                .bind(json(&run.environment)?);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn insert_errors(connection: &mut SqliteConnection, settlements: &[&Settlement]) -> Result<()> {
    let errors: Vec<_> =
        settlements.iter().filter_map(|new| new.error.as_ref().map(|error| (new.id, error))).collect();
    for (sql, part) in INSERT_ERRORS.parts(&errors) {
        let mut query = sqlx::query(sql);
        for (id, error) in part {
            query = query
                .bind(id.0)
                .bind(error.attempt)
                .bind(error.at.as_microsecond())
                .bind(error.kind.as_str())
                .bind(error.message.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn pause_queue(connection: &mut SqliteConnection, settlement: &Settlement) -> Result<()> {
    let Some(until) = settlement.pause_queue_until else { return Ok(()) };
    sqlx::query(
        "INSERT INTO claude_jobs_queues (name, paused_until) \
         SELECT queue, ?2 FROM claude_jobs WHERE id = ?1 \
         ON CONFLICT (name) DO UPDATE SET paused_until = max(coalesce(paused_until, 0), excluded.paused_until)",
    )
    .bind(settlement.id.0)
    .bind(until.as_microsecond())
    .execute(connection)
    .await?;
    Ok(())
}
