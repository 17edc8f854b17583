//! Settlements: the ends of runs, each all of it or nothing.

use std::borrow::Cow;
use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connections::Work;
use super::insert::insert_all;
use super::moment::Moment;
use super::row::{clean, json, state_bit};
use super::{PostgresEngine, Query};
use crate::error::Result;
use crate::job::{RunRow, State};
use crate::settlement::Settlement;

/// The beginning of each statement that settles. It takes `$1` to `$15`.
///
/// The fence: only the run that the row still stands for may change it, and whatever goes with it is
/// written from what the change returns. A job that somebody asked to cancel meanwhile does not go back
/// to waiting.
///
/// A state comes as its place among [`State::ALL`]. What most settlements lack comes as one JSON text,
/// [`Rest`]: to take a dozen arrays more apart would cost more than all else that is done for a row.
///
/// The state is compared in a way that no index knows: the planner shall look up each run's row by its
/// id, not each executing job's run in the batch.
///
/// Past the fence there can be no ledger row or error yet, unless somebody turned the attempt back by
/// hand: see [`FORGET`].
///
/// jobs_pkey, runs_pkey, errors_pkey
macro_rules! settle_rows {
    () => {
        "WITH settled AS (UPDATE {schema}.jobs AS j SET \
            state = CASE WHEN j.cancel_requested AND g.state < 4 THEN 'cancelled' \
                ELSE (ARRAY['scheduled', 'available', 'executing', 'retryable', 'completed', 'discarded', \
                    'cancelled'])[g.state + 1] END, \
            finished_at = CASE WHEN j.cancel_requested AND g.state < 4 THEN $15 ELSE g.finished_at END, \
            reason = CASE WHEN j.cancel_requested AND g.state < 4 THEN 'cancelled on request' \
                ELSE r.reason END, \
            scheduled_at = g.scheduled_at, \
            uncounted = CASE WHEN r.uncounted THEN least(j.uncounted + 1, 4294967295) ELSE j.uncounted END, \
            snoozes = CASE WHEN r.snoozed THEN least(j.snoozes + 1, 4294967295) ELSE j.snoozes END, \
            meta = coalesce(r.meta::json, j.meta), resume = r.resume, node = NULL, \
            cancel_requested = false, unique_key = CASE WHEN (j.unique_states \
                >> (CASE WHEN j.cancel_requested AND g.state < 4 THEN 6 ELSE g.state END)) & 1 = 1 \
                THEN j.unique_key END \
            FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::timestamptz[], $5::timestamptz[], \
                $6::text[], $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], \
                $12::text[], $13::double precision[], $14::text[]) \
                AS g (id, attempt, state, scheduled_at, finished_at, node, run_started_at, \
                run_finished_at, session_id, outcome, verdict, ending, cost_usd, rest) \
                LEFT JOIN LATERAL json_to_record(g.rest::json) AS r (reason text, uncounted boolean, \
                snoozed boolean, meta text, resume text, turns bigint, input_tokens bigint, \
                output_tokens bigint, cache_read_tokens bigint, cache_creation_tokens bigint, model text, \
                cli_version text, result text, structured text, last_events text, environment text, \
                error_attempt bigint, error_at bigint, error_kind text, error_message text) ON true \
            WHERE j.id = g.id AND j.attempt = g.attempt AND j.state || '' = 'executing' \
            RETURNING g.*, r.turns, r.input_tokens, r.output_tokens, r.cache_read_tokens, \
                r.cache_creation_tokens, r.model, r.cli_version, r.result, r.structured, r.last_events, \
                r.environment, r.error_attempt, r.error_at, r.error_kind, r.error_message, \
                j.queue, j.concurrency_key), \
        ledger AS (INSERT INTO {schema}.runs (job_id, attempt, node, started_at, finished_at, \
            session_id, outcome, verdict, ending, cost_usd, turns, input_tokens, output_tokens, \
            cache_read_tokens, cache_creation_tokens, model, cli_version, result, structured, last_events, \
            environment) \
            SELECT id, attempt, node, run_started_at, run_finished_at, session_id, outcome, verdict, \
                ending, cost_usd, turns, input_tokens, output_tokens, cache_read_tokens, \
                cache_creation_tokens, model, cli_version, result, structured::json, \
                coalesce(last_events, '[]')::json, coalesce(environment, '{}')::json FROM settled), \
        failures AS (INSERT INTO {schema}.errors (job_id, attempt, at, kind, message) \
            SELECT id, error_attempt, 'epoch'::timestamptz + error_at * '1 microsecond'::interval, \
                error_kind, error_message FROM settled WHERE error_kind IS NOT NULL)"
    };
}
pub(super) use settle_rows;

/// Tells the nodes of the queues in which a settlement may have made something claimable: a job waits
/// again, or a concurrency key is free. `$16`: the channel; `$17`: whether a limit of all is.
macro_rules! tell_of_settled {
    () => {
        "(SELECT count(pg_notify($16, CASE WHEN octet_length(queue) < 8000 THEN queue ELSE '' END)) \
         FROM (SELECT DISTINCT queue FROM settled WHERE state < 4 OR concurrency_key IS NOT NULL OR $17) AS told)"
    };
}
pub(super) use tell_of_settled;

/// Only settles.
pub(super) const SETTLE: &str =
    concat!(settle_rows!(), " SELECT id, attempt FROM settled WHERE ", tell_of_settled!(), " >= 0");

/// Removes what stands in the way of a settlement: ledger rows and errors of attempts that are running.
/// runs_pkey, errors_pkey, jobs_pkey
pub(super) const FORGET: &str = "WITH running AS (SELECT j.id, j.attempt FROM {schema}.jobs AS j \
        WHERE j.id = ANY ($1) AND j.state || '' = 'executing'), \
    ledger AS (DELETE FROM {schema}.runs AS r USING running \
        WHERE r.job_id = running.id AND r.attempt = running.attempt) \
    DELETE FROM {schema}.errors AS e USING running \
        WHERE e.job_id = running.id AND e.attempt = running.attempt";

pub(super) async fn forget(engine: &PostgresEngine, settlements: &[Settlement]) -> Result<()> {
    let ids: Vec<_> = settlements.iter().map(|new| new.id.0).collect();
    engine.rows(engine.query(&engine.sql.forget).bind(ids)).await?;
    Ok(())
}

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
    let settled = read(&rows, settlements)?;
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

/// Settles what brings nothing more with it, in one statement.
pub(super) async fn settle_only(
    engine: &PostgresEngine,
    settlements: &[Settlement],
    now: Timestamp,
) -> Result<Vec<bool>> {
    let query = bind(engine.query(&engine.sql.settle), settlements, now)?;
    let rows = engine.rows(query.bind(engine.channel()).bind(false)).await?;
    read(&rows, settlements)
}

fn read(rows: &[PgRow], settlements: &[Settlement]) -> Result<Vec<bool>> {
    let ours = rows.iter().map(key).collect::<sqlx::Result<_>>()?;
    Ok(answers(settlements, Some(ours)))
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

/// What most settlements lack. Texts are clean: `json_to_record` can make no text of a NUL, nor read
/// past one, so that JSON goes as text too.
#[derive(Serialize)]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_false")]
    uncounted: bool,
    #[serde(skip_serializing_if = "is_false")]
    snoozed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Cow<'a, str>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<Failed<'a>>,
}

/// What claude said.
#[derive(Serialize)]
struct Answer<'a> {
    turns: Option<u32>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    cache_creation_tokens: Option<i64>,
    model: Option<Cow<'a, str>>,
    cli_version: Option<Cow<'a, str>>,
    result: Option<Cow<'a, str>>,
    structured: Option<String>,
    last_events: String,
    environment: String,
}

#[derive(Serialize)]
struct Failed<'a> {
    error_attempt: u32,
    error_at: i64,
    error_kind: Cow<'a, str>,
    error_message: Cow<'a, str>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl<'a> Rest<'a> {
    fn of(new: &'a Settlement) -> Result<Option<String>> {
        let rest = Self {
            reason: new.reason.as_deref().map(clean),
            uncounted: new.uncounted,
            snoozed: new.snoozed,
            meta: new.meta.as_ref().map(json).transpose()?,
            resume: new.resume.as_deref().map(clean),
            answer: Answer::of(&new.run)?,
            error: new.error.as_ref().map(|error| Failed {
                error_attempt: error.attempt,
                error_at: error.at.as_microsecond(),
                error_kind: clean(&error.kind),
                error_message: clean(&error.message),
            }),
        };
        let text = json(&rest)?;
        Ok((text != "{}").then_some(text))
    }
}

impl<'a> Answer<'a> {
    fn of(run: &'a RunRow) -> Result<Option<Self>> {
        let said = run.tokens.is_some() || run.turns.is_some() || run.result.is_some();
        let known = run.model.is_some() || run.cli_version.is_some() || run.structured.is_some();
        if !said && !known && run.last_events.is_empty() && run.environment.is_empty() {
            return Ok(None);
        }
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(Some(Self {
            turns: run.turns,
            input_tokens: run.tokens.map(|tokens| count(tokens.input)),
            output_tokens: run.tokens.map(|tokens| count(tokens.output)),
            cache_read_tokens: run.tokens.map(|tokens| count(tokens.cache_read)),
            cache_creation_tokens: run.tokens.map(|tokens| count(tokens.cache_creation)),
            model: run.model.as_deref().map(clean),
            cli_version: run.cli_version.as_deref().map(clean),
            result: run.result.as_deref().map(clean),
            structured: run.structured.as_ref().map(ToString::to_string),
            last_events: json(&run.last_events)?,
            environment: json(&run.environment)?,
        }))
    }
}

/// Binds the parameters of [`settle_rows!`].
pub(super) fn bind<'q>(query: Query<'q>, settlements: &[Settlement], now: Timestamp) -> Result<Query<'q>> {
    // In one order for all, so that two batches do not wait for each other; each run once.
    let mut seen = HashSet::new();
    let mut new: Vec<_> = settlements.iter().filter(|new| seen.insert((new.id, new.attempt))).collect();
    new.sort_by_key(|settlement| settlement.id);
    let new = &new[..];
    let rest = new.iter().map(|new| Rest::of(new)).collect::<Result<Vec<_>>>()?;
    Ok(query
        .bind(each(new, |new| new.id.0))
        .bind(each(new, |new| i64::from(new.attempt)))
        .bind(each(new, |new| place(new.state)))
        .bind(each(new, |new| Moment(new.scheduled_at)))
        .bind(each(new, |new| new.finished_at.map(Moment)))
        .bind(each(new, |new| new.run.node.as_deref().map(clean)))
        .bind(each(new, |new| Moment(new.run.started_at)))
        .bind(each(new, |new| Moment(new.run.finished_at)))
        .bind(each(new, |new| new.run.session_id.as_deref().map(clean)))
        .bind(each(new, |new| clean(&new.run.outcome)))
        .bind(each(new, |new| clean(&new.run.verdict)))
        .bind(each(new, |new| clean(&new.run.ending)))
        .bind(each(new, |new| new.run.cost_usd))
        .bind(rest)
        .bind(Moment(now)))
}

/// A state's place among [`State::ALL`]: up to 3 it waits, or runs.
fn place(state: State) -> i32 {
    state_bit(state).trailing_zeros() as i32
}

fn each<'a, T>(new: &[&'a Settlement], read: impl Fn(&'a Settlement) -> T) -> Vec<T> {
    new.iter().map(|new| read(new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_in_the_order_that_the_statement_names_them_in() {
        let names = State::ALL.map(|state| format!("'{state}'")).join(", ");
        assert!(SETTLE.replace("                    ", "").contains(&names), "{SETTLE}");
        let waiting: Vec<_> = State::ALL.into_iter().filter(|state| !state.is_final()).map(place).collect();
        assert_eq!((waiting, place(State::Cancelled)), (vec![0, 1, 2, 3], 6));
    }
}
