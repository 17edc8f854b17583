//! Settlements: the ends of runs, each all of it or nothing.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::answer::Answer;
use super::connections::Work;
use super::insert::insert_all;
use super::moment::Moment;
use super::row::{clean, json, state_bit};
use super::{PostgresEngine, Query};
use crate::engine::Settled;
use crate::error::Result;
use crate::job::State;
use crate::settlement::Settlement;

/// The runs of a batch, an array for each column of the ledger: `$1` to `$11`. They are taken apart side by
/// side; named after `FROM` each would be copied as a whole first.
macro_rules! runs {
    () => {
        "unnest($1::bigint[]) AS id, unnest($2::bigint[]) AS attempt, unnest($3::text[]) AS node, \
         unnest($4::timestamptz[]) AS run_started_at, unnest($5::timestamptz[]) AS run_finished_at, \
         unnest($6::text[]) AS session_id, unnest($7::text[]) AS outcome, unnest($8::text[]) AS verdict, \
         unnest($9::text[]) AS ending, unnest($10::double precision[]) AS cost_usd, \
         unnest($11::text[])::json AS answer"
    };
}
pub(super) use runs;

/// The fence: only the run that the row still stands for may change it, and whatever goes with it is written
/// from what the change returns.
///
/// The state is compared in a way that the planner does not take for a partial index's condition: it shall
/// look up each run's row by its id, not each executing job's run in the batch. jobs_pkey
macro_rules! fence {
    () => {
        "WHERE j.id = g.id AND j.attempt = g.attempt AND j.state >= 'executing' AND j.state <= 'executing'"
    };
}
pub(super) use fence;

/// Tells the nodes of a settled job's queue; the number of: the channel.
macro_rules! tell {
    ($channel:literal) => {
        concat!(
            "pg_notify(",
            $channel,
            ", CASE WHEN octet_length(j.queue) < 8000 THEN j.queue ELSE '' END)::text"
        )
    };
}
pub(super) use tell;

/// Writes what is settled into the ledger.
///
/// Past the fence there can be no ledger row or error yet, unless somebody turned the attempt back by
/// hand: see [`FORGET`]. runs_pkey
macro_rules! ledger {
    () => {
        "ledger AS (INSERT INTO {schema}.runs (job_id, attempt, node, started_at, finished_at, \
            session_id, outcome, verdict, ending, cost_usd, answer) \
            SELECT id, attempt, node, run_started_at, run_finished_at, session_id, outcome, verdict, \
                ending, cost_usd, answer FROM settled)"
    };
}
pub(super) use ledger;

/// Settles. A job that somebody asked to cancel meanwhile does not go back to waiting: nothing of its settlement is
/// written.
///
/// A state comes as its place among [`State::ALL`]. What most settlements lack comes as one JSON text,
/// [`Rest`]: a dozen arrays more to take apart would cost more than all else that is done for a row.
///
/// The nodes are told of the queues in which something may have become claimable: a job waits again, or a
/// concurrency key is free. `$16`: the channel; `$17`: whether a limit of all is. errors_pkey
pub(super) const SETTLE: &str = concat!(
    "WITH settled AS (UPDATE {schema}.jobs AS j SET \
        state = (ARRAY['scheduled', 'available', 'executing', 'retryable', 'completed', 'discarded', \
            'cancelled']::{schema}.state[])[g.state + 1], \
        finished_at = g.finished_at, reason = g.rest ->> 'reason', scheduled_at = g.scheduled_at, \
        uncounted = CASE WHEN g.rest ->> 'uncounted' IS NOT NULL THEN greatest(0, \
            least(j.uncounted + (g.rest ->> 'uncounted')::bigint, 4294967295)) ELSE j.uncounted END, \
        snoozes = CASE WHEN (g.rest ->> 'snoozed')::boolean \
            THEN least(j.snoozes + 1, 4294967295) ELSE j.snoozes END, \
        meta = coalesce((g.rest ->> 'meta')::json, j.meta), continuation = g.rest ->> 'continuation', \
        session_host = g.rest ->> 'session_host', node = NULL, cancel_requested = false, \
        unique_key = CASE WHEN (j.unique_states >> g.state) & 1 = 1 THEN j.unique_key END \
        FROM (SELECT ",
    runs!(),
    ", unnest($12::integer[]) AS state, unnest($13::timestamptz[]) AS scheduled_at, \
        unnest($14::timestamptz[]) AS finished_at, unnest($15::text[])::json AS rest) AS g ",
    fence!(),
    " AND NOT (j.cancel_requested AND g.state < 4) \
      RETURNING g.*, CASE WHEN g.state < 4 OR j.concurrency_key IS NOT NULL OR $17 THEN ",
    tell!("$16"),
    " END), ",
    ledger!(),
    ", failures AS (INSERT INTO {schema}.errors (job_id, attempt, at, kind, message) \
        SELECT id, (rest ->> 'error_attempt')::bigint, 'epoch'::timestamptz \
                + (rest ->> 'error_at')::bigint * '1 microsecond'::interval, \
            rest ->> 'error_kind', rest ->> 'error_message' FROM settled \
        WHERE rest ->> 'error_kind' IS NOT NULL) \
     SELECT id, attempt FROM settled"
);

/// Removes what stands in the way of a settlement: ledger rows and errors of attempts that are running.
/// runs_pkey, errors_pkey, jobs_pkey
pub(super) const FORGET: &str = "WITH running AS (SELECT j.id, j.attempt FROM {schema}.jobs AS j \
        WHERE j.id = ANY ($1) AND j.state >= 'executing' AND j.state <= 'executing'), \
    ledger AS (DELETE FROM {schema}.runs AS r USING running \
        WHERE r.job_id = running.id AND r.attempt = running.attempt) \
    DELETE FROM {schema}.errors AS e USING running \
        WHERE e.job_id = running.id AND e.attempt = running.attempt";

pub(super) async fn forget(engine: &PostgresEngine, settlements: &[Settlement]) -> Result<()> {
    let ids: Vec<_> = settlements.iter().map(|new| new.id.0).collect();
    engine.rows(engine.query(&engine.sql.forget).bind(ids)).await?;
    Ok(())
}

/// Settles inside a transaction, with follow-on jobs.
pub(super) async fn settle(
    engine: &PostgresEngine,
    work: &mut Work,
    settlements: &[Settlement],
    tells: bool,
) -> Result<Vec<Settled>> {
    let query = bind(engine.query(&engine.sql.settle), settlements, engine.channel(), tells)?;
    let settled = read(&work.rows(query).await?, settlements)?;
    let ours = settlements.iter().zip(&settled).filter(|(_, settled)| settled.is_written());
    for follow_ons in ours.map(|(new, _)| &new.follow_ons).filter(|follow_ons| !follow_ons.is_empty()) {
        insert_all(engine, work, follow_ons).await?;
    }
    if settled.iter().all(|settled| settled.is_written()) {
        return Ok(settled);
    }
    read(&work.rows(written(engine, settlements)).await?, settlements)
}

/// Settles what brings nothing more with it, in one statement.
pub(super) async fn settle_only(engine: &PostgresEngine, settlements: &[Settlement]) -> Result<Vec<Settled>> {
    let query = bind(engine.query(&engine.sql.settle), settlements, engine.channel(), false)?;
    let settled = read(&engine.rows(query).await?, settlements)?;
    if settled.iter().all(|settled| settled.is_written()) {
        return Ok(settled);
    }
    read(&engine.rows(written(engine, settlements)).await?, settlements)
}

/// Which of these runs the ledger has, as they are, and which are still running: past the fence only a request to
/// cancel the job can have kept those from being settled. runs_pkey, jobs_pkey
pub(super) const WRITTEN: &str = "SELECT g.id, g.attempt, running.id IS NOT NULL AS is_running \
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[]) \
        AS g (id, attempt, node, finished_at, ending) \
    LEFT JOIN {schema}.jobs AS running ON running.id = g.id AND running.attempt = g.attempt \
        AND running.state >= 'executing' AND running.state <= 'executing' \
    WHERE running.id IS NOT NULL OR EXISTS (SELECT 1 FROM {schema}.runs AS r WHERE r.job_id = g.id AND r.attempt = g.attempt \
        AND r.node IS NOT DISTINCT FROM g.node AND r.finished_at = g.finished_at AND r.ending = g.ending)";

/// Asks which of these settlements are written, by a statement that did not say so or by an earlier one. Those of a
/// job that was removed in this very moment are not, for all that can be seen.
pub(super) fn written<'q>(engine: &PostgresEngine, settlements: &[Settlement]) -> Query<'q> {
    let new = &in_order(settlements)[..];
    engine
        .query(&engine.sql.written)
        .bind(each(new, |new| new.id.0))
        .bind(each(new, |new| i64::from(new.attempt)))
        .bind(each(new, |new| new.run.node.as_deref().map(clean)))
        .bind(each(new, |new| Moment(new.run.finished_at)))
        .bind(each(new, |new| clean(&new.run.ending)))
}

/// For each settlement, what an answer says of its run.
pub(super) fn read(rows: &[PgRow], settlements: &[Settlement]) -> Result<Vec<Settled>> {
    let runs = rows.iter().map(outcome).collect::<sqlx::Result<_>>()?;
    Ok(answers(settlements, Some(runs)))
}

/// Of a row of [`SETTLE`], [`WRITTEN`] or the like.
fn outcome(row: &PgRow) -> sqlx::Result<((i64, i64), Settled)> {
    let is_running = row.try_get("is_running").unwrap_or(false);
    let settled = if is_running { Settled::CancelRequested } else { Settled::Written };
    Ok(((row.try_get("id")?, row.try_get("attempt")?), settled))
}

/// For each settlement, what became of its run; `None`: each is written. Of the same run twice in a batch only the
/// first counts.
pub(super) fn answers(
    settlements: &[Settlement],
    runs: Option<HashMap<(i64, i64), Settled>>,
) -> Vec<Settled> {
    let key = |settlement: &Settlement| (settlement.id.0, i64::from(settlement.attempt));
    let mut runs = match runs {
        None if different(settlements) == settlements.len() => {
            return vec![Settled::Written; settlements.len()];
        }
        None => settlements.iter().map(|new| (key(new), Settled::Written)).collect(),
        Some(runs) => runs,
    };
    settlements.iter().map(|new| runs.remove(&key(new)).unwrap_or(Settled::Superseded)).collect()
}

/// How many different runs there are in a batch.
pub(super) fn different(settlements: &[Settlement]) -> usize {
    let mut keys: Vec<_> = settlements.iter().map(|settlement| (settlement.id, settlement.attempt)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len()
}

/// Whether there is more to say of a settlement than where its job goes and how the run went: a [`Rest`].
pub(super) fn has_rest(new: &Settlement) -> bool {
    let has_text = new.reason.is_some() || !new.continuation.is_empty() || new.meta.is_some();
    has_text || new.uncounted != 0 || new.snoozed || new.error.is_some()
}

/// What most settlements lack. Texts are clean: `->>` can make no text of a NUL, nor read past one, so that
/// JSON goes as text too.
#[derive(Serialize)]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uncounted: Option<i32>,
    #[serde(skip_serializing_if = "is_false")]
    snoozed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_host: Option<Cow<'a, str>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    error: Option<Failed<'a>>,
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
        if !has_rest(new) {
            return Ok(None);
        }
        let rest = Self {
            reason: new.reason.as_deref().map(clean),
            uncounted: Some(new.uncounted).filter(|change| *change != 0),
            snoozed: new.snoozed,
            meta: new.meta.as_ref().map(json).transpose()?,
            continuation: new.continuation_json()?.map(|text| clean(&text).into_owned()),
            session_host: new.continuation.session_host().map(clean),
            error: new.error.as_ref().map(|error| Failed {
                error_attempt: error.attempt,
                error_at: error.at.as_microsecond(),
                error_kind: clean(&error.kind),
                error_message: clean(&error.message),
            }),
        };
        json(&rest).map(Some)
    }
}

/// A batch in one order for all, so that two batches do not wait for each other; of each run the first.
pub(super) fn in_order(settlements: &[Settlement]) -> Vec<&Settlement> {
    let mut new: Vec<_> = settlements.iter().collect();
    new.sort_by_key(|settlement| (settlement.id, settlement.attempt));
    new.dedup_by_key(|settlement| (settlement.id, settlement.attempt));
    new
}

/// Binds the parameters of [`SETTLE`].
fn bind<'q>(query: Query<'q>, settlements: &[Settlement], channel: &str, tells: bool) -> Result<Query<'q>> {
    let new = &in_order(settlements)[..];
    let rest = new.iter().map(|new| Rest::of(new)).collect::<Result<Vec<_>>>()?;
    Ok(bind_runs(query, new)?
        .bind(each(new, |new| place(new.state)))
        .bind(each(new, |new| Moment(new.scheduled_at)))
        .bind(each(new, |new| new.finished_at.map(Moment)))
        .bind(if_any(rest))
        .bind(channel.to_owned())
        .bind(tells))
}

/// Binds the parameters of [`runs!`].
pub(super) fn bind_runs<'q>(query: Query<'q>, new: &[&Settlement]) -> Result<Query<'q>> {
    let answers = new.iter().map(|new| Answer::of(&new.run)).collect::<Result<Vec<_>>>()?;
    Ok(query
        .bind(each(new, |new| new.id.0))
        .bind(each(new, |new| i64::from(new.attempt)))
        .bind(each(new, |new| new.run.node.as_deref().map(clean)))
        .bind(each(new, |new| Moment(new.run.started_at)))
        .bind(each(new, |new| Moment(new.run.finished_at)))
        .bind(if_any(each(new, |new| new.run.session_id.as_deref().map(clean))))
        .bind(each(new, |new| clean(&new.run.outcome)))
        .bind(each(new, |new| clean(&new.run.verdict)))
        .bind(each(new, |new| clean(&new.run.ending)))
        .bind(each(new, |new| new.run.cost_usd))
        .bind(if_any(answers)))
}

/// Nothing instead of nothing for each: an array that is too short is filled up with `NULL`.
fn if_any<T>(column: Vec<Option<T>>) -> Vec<Option<T>> {
    if column.iter().any(Option::is_some) { column } else { Vec::new() }
}

/// A state's place among [`State::ALL`]: up to 3 it waits, or runs.
fn place(state: State) -> i32 {
    state_bit(state).trailing_zeros() as i32
}

pub(super) fn each<'a, T>(new: &[&'a Settlement], read: impl Fn(&'a Settlement) -> T) -> Vec<T> {
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
