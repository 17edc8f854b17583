//! Settlements: the end of a run, all of it or nothing.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::SqliteEngine;
use super::insert::{insert_in, json};
use super::row::state_bit;
use crate::error::Result;
use crate::job::State;
use crate::settlement::Settlement;

pub(super) async fn settle(
    engine: &SqliteEngine,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<Vec<bool>> {
    let mut transaction = engine.begin().await?;
    let mut settled = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let is_ours = update_row(&mut transaction, settlement, now).await?;
        if is_ours {
            insert_run(&mut transaction, settlement).await?;
            insert_error(&mut transaction, settlement).await?;
            insert_in(&mut transaction, &settlement.follow_ons).await?;
            pause_queue(&mut transaction, settlement).await?;
        }
        settled.push(is_ours);
    }
    transaction.commit().await?;
    Ok(settled)
}

/// The fence: only the run that the row still stands for may change it. A job that somebody asked to
/// cancel meanwhile does not go back to waiting.
async fn update_row(connection: &mut SqliteConnection, new: &Settlement, now: Timestamp) -> Result<bool> {
    let cancelled = !new.state.is_final();
    let result = sqlx::query(
        "UPDATE claude_jobs SET \
         state = CASE WHEN cancel_requested AND ?1 THEN 'cancelled' ELSE ?2 END, \
         finished_at = CASE WHEN cancel_requested AND ?1 THEN ?3 ELSE ?4 END, \
         reason = CASE WHEN cancel_requested AND ?1 THEN 'cancelled on request' ELSE ?5 END, \
         scheduled_at = ?6, uncounted = min(uncounted + ?7, 4294967295), \
         snoozes = min(snoozes + ?8, 4294967295), \
         meta = coalesce(?9, meta), node = NULL, cancel_requested = 0, \
         unique_key = CASE WHEN unique_states & \
             (CASE WHEN cancel_requested AND ?1 THEN ?10 ELSE ?11 END) THEN unique_key END \
         WHERE id = ?12 AND attempt = ?13 AND state = 'executing'",
    )
    .bind(cancelled)
    .bind(new.state.name())
    .bind(now.as_microsecond())
    .bind(new.finished_at.map(|at| at.as_microsecond()))
    .bind(&new.reason)
    .bind(new.scheduled_at.as_microsecond())
    .bind(new.uncounted)
    .bind(new.snoozed)
    .bind(new.meta.as_ref().map(json).transpose()?)
    .bind(state_bit(State::Cancelled))
    .bind(state_bit(new.state))
    .bind(new.id.0)
    .bind(new.attempt)
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// `OR REPLACE`, here and below: past the fence there can be no such row, unless somebody turned the
/// attempt back by hand; that must not keep the job from ever being settled.
async fn insert_run(connection: &mut SqliteConnection, settlement: &Settlement) -> Result<()> {
    let run = &settlement.run;
    let tokens = run.tokens;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT OR REPLACE INTO claude_jobs_runs (job_id, attempt, node, started_at, finished_at, session_id, outcome, \
         verdict, ending, cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, \
         cache_creation_tokens, model, cli_version, result, structured, \
         last_events, environment) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(settlement.id.0)
    .bind(settlement.attempt)
    .bind(&run.node)
    .bind(run.started_at.as_microsecond())
    .bind(run.finished_at.as_microsecond())
    .bind(&run.session_id)
    .bind(&run.outcome)
    .bind(&run.verdict)
    .bind(&run.ending)
    .bind(run.cost_usd)
    .bind(run.turns)
    .bind(tokens.map(|tokens| count(tokens.input)))
    .bind(tokens.map(|tokens| count(tokens.output)))
    .bind(tokens.map(|tokens| count(tokens.cache_read)))
    .bind(tokens.map(|tokens| count(tokens.cache_creation)))
    .bind(&run.model)
    .bind(&run.cli_version)
    .bind(&run.result)
    .bind(run.structured.as_ref().map(ToString::to_string))
    .bind(json(&run.last_events)?)
    .bind(json(&run.environment)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_error(connection: &mut SqliteConnection, settlement: &Settlement) -> Result<()> {
    let Some(error) = &settlement.error else { return Ok(()) };
    sqlx::query("INSERT OR REPLACE INTO claude_jobs_errors (job_id, attempt, at, kind, message) VALUES (?, ?, ?, ?, ?)")
        .bind(settlement.id.0)
        .bind(error.attempt)
        .bind(error.at.as_microsecond())
        .bind(&error.kind)
        .bind(&error.message)
        .execute(connection)
        .await?;
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
