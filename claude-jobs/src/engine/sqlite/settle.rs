//! Settlements: the end of runs, each all of it or nothing.

use std::collections::HashSet;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::batch::{FEW, Statement};
use super::claim::{Found, add_look, look};
use super::insert::{insert_in, json};
use super::row::state_bit;
use super::script::Script;
use crate::engine::{ClaimRequest, Settled};
use crate::error::Result;
use crate::settlement::Settlement;

/// The fence: only the run that the row still stands for may change it, and a job that somebody asked to cancel
/// meanwhile does not go back to waiting.
static UPDATE: Statement = Statement::new(
    "WITH new (id, attempt, state, bit, waits, scheduled_at, finished_at, reason, uncounted, snoozed, meta, \
     continuation, session_host) AS (VALUES",
    13,
    ") UPDATE claude_jobs SET state = new.state, finished_at = new.finished_at, reason = new.reason, \
     scheduled_at = new.scheduled_at, \
     uncounted = max(0, min(claude_jobs.uncounted + new.uncounted, 4294967295)), \
     snoozes = min(snoozes + new.snoozed, 4294967295), \
     meta = coalesce(new.meta, claude_jobs.meta), continuation = new.continuation, \
     session_host = new.session_host, node = NULL, cancel_requested = 0, \
     unique_key = CASE WHEN unique_states & new.bit THEN unique_key END \
     FROM new WHERE claude_jobs.id = new.id AND claude_jobs.attempt = new.attempt \
     AND claude_jobs.state = 'executing' AND NOT (cancel_requested AND new.waits) \
     RETURNING claude_jobs.id, claude_jobs.attempt",
);

/// Behind the same fence, and so before the rows are updated.
///
/// `OR REPLACE`, here and below: past the fence there can be no such row, unless somebody turned the
/// attempt back by hand; that must not keep the job from ever being settled.
static INSERT_RUNS: Statement = Statement::new(
    "INSERT OR REPLACE INTO claude_jobs_runs (job_id, attempt, node, started_at, finished_at, session_id, \
     outcome, verdict, ending, cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, \
     cache_creation_tokens, model, cli_version, result, structured, last_events, environment) \
     SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, \
     column12, column13, column14, column15, column16, column17, column18, column19, column20, column21 FROM (VALUES",
    22,
    // The join in this order: few are new, all that run may be many.
    ") AS new CROSS JOIN claude_jobs AS job \
     WHERE job.id = new.column1 AND job.attempt = new.column2 AND job.state = 'executing' \
     AND NOT (job.cancel_requested AND new.column22)",
);

static INSERT_ERRORS: Statement = Statement::new(
    "INSERT OR REPLACE INTO claude_jobs_errors (job_id, attempt, at, kind, message) VALUES",
    5,
    "",
);

/// Begins a transaction that holds the write lock, writes settlements in it, and looks for jobs, if asked
/// to: mostly all of it in one passage.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    claim: Option<&ClaimRequest<'_>>,
) -> Result<(Vec<Settled>, Option<Found>)> {
    let mut script = Script::default();
    script.add("BEGIN IMMEDIATE");
    // Of the same run twice in a batch only the first counts; of two rows for one job SQLite would
    // write either.
    let mut seen = HashSet::with_capacity(settlements.len());
    let first: Vec<_> = settlements.iter().filter(|new| seen.insert((new.id, new.attempt))).collect();
    let mut ours = HashSet::with_capacity(first.len());
    // A text is kept for each size; with large ones go no others, or more of them would have to be kept.
    let together = first.len() <= FEW;
    for ((runs, part), (update, _)) in INSERT_RUNS.parts(&first).zip(UPDATE.parts(&first)) {
        if !together {
            note(&mut ours, std::mem::take(&mut script).run(&mut *connection).await?)?;
        }
        script.add(&runs.0);
        part.iter().try_for_each(|new| add_run(&mut script, new))?;
        script.add(&update.0);
        part.iter().try_for_each(|new| add_update(&mut script, new))?;
    }
    if !together {
        note(&mut ours, std::mem::take(&mut script).run(&mut *connection).await?)?;
    }
    let mut found = None;
    // The look has to see follow-on jobs, which are inserted below.
    let looks_at_once = claim.filter(|_| settlements.iter().all(|new| new.follow_ons.is_empty()));
    if let Some(request) = looks_at_once {
        add_look(&mut script, request)?;
    }
    let mut rows = script.run(&mut *connection).await?;
    if looks_at_once.is_some() {
        found = rows.pop().map(|row| Found::read(&row)).transpose()?;
    }
    note(&mut ours, rows)?;
    let (written, others): (Vec<_>, Vec<_>) =
        first.into_iter().partition(|new| ours.contains(&(new.id.0, new.attempt)));
    insert_errors(connection, &written).await?;
    for settlement in written {
        insert_in(connection, &settlement.follow_ons).await?;
    }
    let mut cancelled = HashSet::new();
    for settlement in others {
        let key = (settlement.id.0, settlement.attempt);
        match unwritten(connection, settlement).await? {
            Settled::Written => _ = ours.insert(key),
            Settled::CancelRequested => _ = cancelled.insert(key),
            Settled::Superseded => {}
        }
    }
    let settled = settlements.iter().map(|new| match (new.id.0, new.attempt) {
        key if ours.remove(&key) => Settled::Written,
        key if cancelled.remove(&key) => Settled::CancelRequested,
        _ => Settled::Superseded,
    });
    let settled = settled.collect();
    if let (Some(request), None) = (claim, &found) {
        found = Some(look(connection, request).await?);
    }
    Ok((settled, found))
}

/// Why a settlement was not written: the ledger has this run, as it is, because an earlier turn has written it; or its
/// job is to be cancelled; or it is another run's.
async fn unwritten(connection: &mut SqliteConnection, settlement: &Settlement) -> Result<Settled> {
    let run = &settlement.run;
    let (is_written, is_running): (bool, bool) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM claude_jobs_runs \
         WHERE job_id = ?1 AND attempt = ?2 AND node IS ?3 AND finished_at = ?4 AND ending = ?5), \
         EXISTS (SELECT 1 FROM claude_jobs WHERE id = ?1 AND attempt = ?2 AND state = 'executing')",
    )
    .bind(settlement.id.0)
    .bind(settlement.attempt)
    .bind(run.node.as_deref())
    .bind(run.finished_at.as_microsecond())
    .bind(run.ending.as_str())
    .fetch_one(connection)
    .await?;
    Ok(match (is_written, is_running) {
        // Past the fence only a request to cancel it is left as the reason.
        (_, true) => Settled::CancelRequested,
        (true, false) => Settled::Written,
        (false, false) => Settled::Superseded,
    })
}

/// Takes note of the runs that were the job's own.
fn note(ours: &mut HashSet<(i64, u32)>, rows: Vec<SqliteRow>) -> Result<()> {
    for row in rows {
        ours.insert((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(())
}

fn add_update(script: &mut Script, new: &Settlement) -> Result<()> {
    script
        .bind(new.id.0)?
        .bind(new.attempt)?
        .bind(new.state.name())?
        .bind(state_bit(new.state))?
        .bind(!new.state.is_final())?
        .bind(new.scheduled_at.as_microsecond())?
        .bind(new.finished_at.map(|at| at.as_microsecond()))?
        .bind(new.reason.as_deref())?
        .bind(new.uncounted)?
        .bind(new.snoozed)?
        .bind(new.meta.as_ref().map(json).transpose()?)?
        .bind(new.continuation_json()?)?
        .bind(new.continuation.session_host())?;
    Ok(())
}

fn add_run(script: &mut Script, settlement: &Settlement) -> Result<()> {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let run = &settlement.run;
    let tokens = run.tokens;
    script
        .bind(settlement.id.0)?
        .bind(settlement.attempt)?
        .bind(run.node.as_deref())?
        .bind(run.started_at.as_microsecond())?
        .bind(run.finished_at.as_microsecond())?
        .bind(run.session_id.as_deref())?
        .bind(run.outcome.as_str())?
        .bind(run.verdict.as_str())?
        .bind(run.ending.as_str())?
        .bind(run.cost_usd)?
        .bind(run.turns)?
        .bind(tokens.map(|tokens| count(tokens.input)))?
        .bind(tokens.map(|tokens| count(tokens.output)))?
        .bind(tokens.map(|tokens| count(tokens.cache_read)))?
        .bind(tokens.map(|tokens| count(tokens.cache_creation)))?
        .bind(run.model.as_deref())?
        .bind(run.cli_version.as_deref())?
        .bind(run.result.as_deref())?
        .bind(run.structured.as_ref().map(ToString::to_string))?
        .bind(json(&run.last_events)?)?
        .bind(json(&run.environment)?)?
        .bind(!settlement.state.is_final())?;
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
