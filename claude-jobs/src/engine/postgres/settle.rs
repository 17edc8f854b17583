//! Settlements: the ends of runs, each all of it or nothing.

use std::borrow::Cow;
use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connections::Work;
use super::insert::insert_all;
use super::moment::Moment;
use super::row::{clean, json, state_bit};
use super::{PostgresEngine, Query};
use crate::error::Result;
use crate::job::{State, Tokens};
use crate::settlement::Settlement;

/// The beginning of each statement that settles. It takes `$1` to `$37`.
///
/// The fence: only the run that the row still stands for may change it, and whatever goes with it is
/// written from what the change returns. A job that somebody asked to cancel meanwhile does not go back
/// to waiting.
///
/// Past the fence there can be no ledger row or error yet, unless somebody turned the attempt back by
/// hand; that must not keep the job from ever being settled.
///
/// The state is compared in a way that no index knows: the planner shall look up each run's row by its
/// id, not each executing job's run in the batch.
///
/// jobs_pkey, runs_pkey, errors_pkey
macro_rules! settle_rows {
    () => {
        "WITH settled AS (UPDATE {schema}.jobs AS j SET \
            state = CASE WHEN j.cancel_requested AND g.waits THEN 'cancelled' ELSE g.state END, \
            finished_at = CASE WHEN j.cancel_requested AND g.waits THEN $36 ELSE g.finished_at END, \
            reason = CASE WHEN j.cancel_requested AND g.waits THEN 'cancelled on request' ELSE g.reason END, \
            scheduled_at = g.scheduled_at, uncounted = least(j.uncounted + g.uncounted, 4294967295), \
            snoozes = least(j.snoozes + g.snoozed, 4294967295), meta = coalesce(g.meta::json, j.meta), \
            resume = g.resume, node = NULL, cancel_requested = false, \
            unique_key = CASE WHEN j.unique_states \
                & (CASE WHEN j.cancel_requested AND g.waits THEN $37 ELSE g.bit END) <> 0 \
                THEN j.unique_key END \
            FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::integer[], $5::boolean[], \
                $6::timestamptz[], $7::timestamptz[], $8::text[], $9::integer[], $10::integer[], \
                $11::text[], $12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[], $16::text[], \
                $17::text[], $18::text[], $19::text[], $20::double precision[], $21::bigint[], \
                $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::text[], $27::text[], \
                $28::text[], $29::text[], $30::text[], $31::text[], $32::bigint[], $33::timestamptz[], \
                $34::text[], $35::text[]) \
                AS g (id, attempt, state, bit, waits, scheduled_at, finished_at, reason, uncounted, snoozed, \
                meta, resume, node, run_started_at, run_finished_at, session_id, outcome, verdict, ending, \
                cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, \
                model, cli_version, result, structured, last_events, environment, error_attempt, error_at, \
                error_kind, error_message) \
            WHERE j.id = g.id AND j.attempt = g.attempt AND j.state || '' = 'executing' \
            RETURNING g.*, j.queue, j.concurrency_key), \
        ledger AS (INSERT INTO {schema}.runs AS r (job_id, attempt, node, started_at, finished_at, \
            session_id, outcome, verdict, ending, cost_usd, turns, input_tokens, output_tokens, \
            cache_read_tokens, cache_creation_tokens, model, cli_version, result, structured, last_events, \
            environment) \
            SELECT id, attempt, node, run_started_at, run_finished_at, session_id, outcome, verdict, \
                ending, cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, \
                cache_creation_tokens, model, cli_version, result, structured::json, last_events::json, \
                environment::json FROM settled \
            ON CONFLICT (job_id, attempt) DO UPDATE SET node = excluded.node, \
                started_at = excluded.started_at, finished_at = excluded.finished_at, \
                session_id = excluded.session_id, outcome = excluded.outcome, verdict = excluded.verdict, \
                ending = excluded.ending, cost_usd = excluded.cost_usd, turns = excluded.turns, \
                input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, \
                cache_read_tokens = excluded.cache_read_tokens, \
                cache_creation_tokens = excluded.cache_creation_tokens, model = excluded.model, \
                cli_version = excluded.cli_version, result = excluded.result, \
                structured = excluded.structured, last_events = excluded.last_events, \
                environment = excluded.environment), \
        failures AS (INSERT INTO {schema}.errors AS e (job_id, attempt, at, kind, message) \
            SELECT id, error_attempt, error_at, error_kind, error_message FROM settled \
            WHERE error_kind IS NOT NULL \
            ON CONFLICT (job_id, attempt) DO UPDATE SET at = excluded.at, kind = excluded.kind, \
                message = excluded.message)"
    };
}
pub(super) use settle_rows;

/// Tells the nodes of the queues in which a settlement may have made something claimable: a job waits
/// again, or a concurrency key is free. `$38`: the channel; `$39`: whether a limit of all is.
macro_rules! tell_of_settled {
    () => {
        "(SELECT count(pg_notify($38, CASE WHEN octet_length(queue) < 8000 THEN queue ELSE '' END)) \
         FROM (SELECT DISTINCT queue FROM settled WHERE waits OR concurrency_key IS NOT NULL OR $39) AS told)"
    };
}
pub(super) use tell_of_settled;

/// Only settles.
pub(super) const SETTLE: &str =
    concat!(settle_rows!(), " SELECT id, attempt FROM settled WHERE ", tell_of_settled!(), " >= 0");

/// queues_pkey, jobs_pkey
pub(super) const PAUSE_QUEUE: &str = "INSERT INTO {schema}.queues AS q (name, paused_until) \
    SELECT queue, $2 FROM {schema}.jobs WHERE id = $1 \
    ON CONFLICT (name) DO UPDATE SET paused_until = greatest(q.paused_until, excluded.paused_until)";

/// Whether a settlement brings more than its own rows.
pub(super) fn has_more(settlement: &Settlement) -> bool {
    !settlement.follow_ons.is_empty() || settlement.pause_queue_until.is_some()
}

/// Settles inside a transaction, with follow-on jobs and pauses.
pub(super) async fn settle(
    engine: &PostgresEngine,
    work: &mut Work,
    settlements: &[Settlement],
    now: Timestamp,
    tells: bool,
) -> Result<Vec<bool>> {
    let query = bind(engine.query(&engine.sql.settle), settlements, now)?;
    let rows = work.rows(query.bind(engine.channel()).bind(tells)).await?;
    let mut ours = HashSet::new();
    for row in &rows {
        ours.insert(key(row)?);
    }
    let settled = answers(settlements, Some(ours));
    let ours = settlements.iter().zip(&settled).filter(|(_, is_ours)| **is_ours);
    for settlement in ours.map(|(settlement, _)| settlement).filter(|settlement| has_more(settlement)) {
        insert_all(engine, work, &settlement.follow_ons).await?;
        if let Some(until) = settlement.pause_queue_until {
            let query = engine.query(&engine.sql.pause_queue).bind(settlement.id.0);
            work.rows(query.bind(Moment(until))).await?;
        }
    }
    Ok(settled)
}

fn key(row: &PgRow) -> sqlx::Result<(i64, i64)> {
    Ok((row.try_get("id")?, row.try_get("attempt")?))
}

/// For each settlement, whether it was the job's own run; `None`: each was. Of the same run twice in a
/// batch only the first counts.
pub(super) fn answers(settlements: &[Settlement], ours: Option<HashSet<(i64, i64)>>) -> Vec<bool> {
    let key = |settlement: &Settlement| (settlement.id.0, i64::from(settlement.attempt));
    let mut ours = ours.unwrap_or_else(|| settlements.iter().map(key).collect());
    settlements.iter().map(|settlement| ours.remove(&key(settlement))).collect()
}

/// How many different runs there are in a batch.
pub(super) fn different(settlements: &[Settlement]) -> usize {
    settlements.iter().map(|settlement| (settlement.id, settlement.attempt)).collect::<HashSet<_>>().len()
}

/// Binds the parameters of [`settle_rows!`].
pub(super) fn bind<'q>(query: Query<'q>, settlements: &[Settlement], now: Timestamp) -> Result<Query<'q>> {
    // In one order for all, so that two batches do not wait for each other; each run once.
    let mut seen = HashSet::new();
    let mut new: Vec<_> = settlements.iter().filter(|new| seen.insert((new.id, new.attempt))).collect();
    new.sort_by_key(|settlement| settlement.id);
    let new = &new[..];

    let query = query
        .bind(each(new, |new| new.id.0))
        .bind(each(new, |new| i64::from(new.attempt)))
        .bind(each(new, |new| new.state.name()))
        .bind(each(new, |new| state_bit(new.state)))
        .bind(each(new, |new| !new.state.is_final()))
        .bind(each(new, |new| Moment(new.scheduled_at)))
        .bind(each(new, |new| new.finished_at.map(Moment)))
        .bind(each(new, |new| new.reason.as_deref().map(clean)))
        .bind(each(new, |new| i32::from(new.uncounted)))
        .bind(each(new, |new| i32::from(new.snoozed)))
        .bind(try_each(new, |new| new.meta.as_ref().map(json).transpose())?)
        .bind(each(new, |new| new.resume.as_deref().map(clean)));
    let query = bind_runs(query, new)?;
    Ok(query
        .bind(each(new, |new| new.error.as_ref().map(|error| i64::from(error.attempt))))
        .bind(each(new, |new| new.error.as_ref().map(|error| Moment(error.at))))
        .bind(each(new, |new| new.error.as_ref().map(|error| clean(&error.kind))))
        .bind(each(new, |new| new.error.as_ref().map(|error| clean(&error.message))))
        .bind(Moment(now))
        .bind(state_bit(State::Cancelled)))
}

fn bind_runs<'q>(query: Query<'q>, new: &[&Settlement]) -> Result<Query<'q>> {
    let tokens = |read: fn(&Tokens) -> u64| {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        each(new, |new| new.run.tokens.as_ref().map(|tokens| count(read(tokens))))
    };
    Ok(query
        .bind(each(new, |new| new.run.node.as_deref().map(clean)))
        .bind(each(new, |new| Moment(new.run.started_at)))
        .bind(each(new, |new| Moment(new.run.finished_at)))
        .bind(each(new, |new| new.run.session_id.as_deref().map(clean)))
        .bind(each(new, |new| clean(&new.run.outcome)))
        .bind(each(new, |new| clean(&new.run.verdict)))
        .bind(each(new, |new| clean(&new.run.ending)))
        .bind(each(new, |new| new.run.cost_usd))
        .bind(each(new, |new| new.run.turns.map(i64::from)))
        .bind(tokens(|tokens| tokens.input))
        .bind(tokens(|tokens| tokens.output))
        .bind(tokens(|tokens| tokens.cache_read))
        .bind(tokens(|tokens| tokens.cache_creation))
        .bind(each(new, |new| new.run.model.as_deref().map(clean)))
        .bind(each(new, |new| new.run.cli_version.as_deref().map(clean)))
        .bind(each(new, |new| new.run.result.as_deref().map(clean)))
        .bind(each(new, |new| new.run.structured.as_ref().map(ToString::to_string)))
        .bind(try_each(new, |new| json_or(&new.run.last_events, new.run.last_events.is_empty(), "[]"))?)
        .bind(try_each(new, |new| json_or(&new.run.environment, new.run.environment.is_empty(), "{}"))?))
}

fn each<'a, T>(new: &[&'a Settlement], read: impl Fn(&'a Settlement) -> T) -> Vec<T> {
    new.iter().map(|new| read(new)).collect()
}

fn try_each<'a, T>(new: &[&'a Settlement], read: impl Fn(&'a Settlement) -> Result<T>) -> Result<Vec<T>> {
    new.iter().map(|new| read(new)).collect()
}

/// What is empty need not be allocated.
fn json_or(value: &impl serde::Serialize, is_empty: bool, empty: &'static str) -> Result<Cow<'static, str>> {
    if is_empty { Ok(Cow::Borrowed(empty)) } else { json(value).map(Cow::Owned) }
}
