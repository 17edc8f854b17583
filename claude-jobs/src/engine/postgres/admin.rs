//! What an operator does to jobs and queues.

use jiff::Timestamp;

use super::connections::Work;
use super::moment::Moment;
use super::row::{self, job_columns, json, state_bit};
use super::{PostgresEngine, query};
use crate::engine::{Cancelled, QueueChange, QueueSettings, no_answer};
use crate::error::{Error, Result};
use crate::job::{Job, JobId, State};

/// The job, which nobody else changes until we are through. jobs_pkey, as all here.
pub(super) const LOCKED: &str =
    concat!("SELECT ", job_columns!(), " FROM {schema}.jobs WHERE id = $1 FOR UPDATE");

/// Tells the nodes of a queue to look; a name that is too long for it tells all.
macro_rules! tell {
    ($channel:literal, $queue:literal) => {
        concat!(
            "pg_notify(",
            $channel,
            ", CASE WHEN octet_length(",
            $queue,
            ") < 8000 THEN ",
            $queue,
            " ELSE '' END)"
        )
    };
}

pub(super) const REQUEST_CANCEL: &str = concat!(
    "UPDATE {schema}.jobs SET cancel_requested = true WHERE id = $1 RETURNING ",
    tell!("$2", "queue")
);

pub(super) const CANCEL: &str = concat!(
    "UPDATE {schema}.jobs SET state = 'cancelled', finished_at = $3, reason = 'cancelled on request', \
     unique_key = CASE WHEN unique_states & $4 <> 0 THEN unique_key END WHERE id = $1 RETURNING ",
    tell!("$2", "queue")
);

pub(super) async fn cancel(engine: &PostgresEngine, id: JobId, now: Timestamp) -> Result<Cancelled> {
    let mut work = engine.connections.begin().await?;
    let cancelled = cancel_in(engine, &mut work, id, now).await;
    work.finish(cancelled).await
}

async fn cancel_in(engine: &PostgresEngine, work: &mut Work, id: JobId, now: Timestamp) -> Result<Cancelled> {
    let job = locked(engine, work, id).await?;
    match job.state {
        State::Executing => {
            let query = engine.query(&engine.sql.request_cancel).bind(id.0).bind(engine.channel());
            work.rows(query).await?;
            Ok(Cancelled::Requested)
        }
        state if state.is_final() => {
            Err(Error::WrongState { id, state, rule: "only a waiting or running job can be cancelled" })
        }
        _ => {
            let query = engine.query(&engine.sql.cancel).bind(id.0).bind(engine.channel());
            work.rows(query.bind(Moment(now)).bind(state_bit(State::Cancelled))).await?;
            Ok(Cancelled::Now)
        }
    }
}

pub(super) const RETRY: &str = concat!(
    "UPDATE {schema}.jobs SET state = 'available', scheduled_at = $3, finished_at = NULL, reason = NULL, \
     cancel_requested = false, max_attempts = greatest(max_attempts, attempt - uncounted + 1) \
     WHERE id = $1 RETURNING ",
    job_columns!(),
    ", ",
    tell!("$2", "queue")
);

pub(super) async fn retry(engine: &PostgresEngine, id: JobId, now: Timestamp) -> Result<Job> {
    let mut work = engine.connections.begin().await?;
    let job = retry_in(engine, &mut work, id, now).await;
    work.finish(job).await
}

async fn retry_in(engine: &PostgresEngine, work: &mut Work, id: JobId, now: Timestamp) -> Result<Job> {
    let job = locked(engine, work, id).await?;
    if matches!(job.state, State::Executing | State::Available) {
        let rule = "only a job that waits for its time or is over can be retried";
        return Err(Error::WrongState { id, state: job.state, rule });
    }
    let query = engine.query(&engine.sql.retry).bind(id.0).bind(engine.channel()).bind(Moment(now));
    let rows = work.rows(query).await?;
    Ok(row::job(rows.first().ok_or(Error::NoSuchJob(id))?)?)
}

/// answers_pkey
pub(super) const RETRY_HANDLER: &str = concat!(
    "UPDATE {schema}.jobs SET state = 'available', scheduled_at = $3, finished_at = NULL, reason = NULL, \
     cancel_requested = false, continuation = $4, session_host = NULL WHERE id = $1 \
     AND EXISTS (SELECT 1 FROM {schema}.answers WHERE job_id = $1) RETURNING ",
    job_columns!(),
    ", ",
    tell!("$2", "queue")
);

pub(super) async fn retry_handler(engine: &PostgresEngine, id: JobId, now: Timestamp) -> Result<Job> {
    let mut work = engine.connections.begin().await?;
    let job = retry_handler_in(engine, &mut work, id, now).await;
    work.finish(job).await
}

async fn retry_handler_in(
    engine: &PostgresEngine,
    work: &mut Work,
    id: JobId,
    now: Timestamp,
) -> Result<Job> {
    let job = locked(engine, work, id).await?;
    if job.state == State::Executing {
        return Err(no_answer(&job));
    }
    let query = engine.query(&engine.sql.retry_handler).bind(id.0).bind(engine.channel()).bind(Moment(now));
    let rows = work.rows(query.bind(json(&job.continuation.of_answer())?)).await?;
    Ok(row::job(rows.first().ok_or_else(|| no_answer(&job))?)?)
}

/// runs_pkey, errors_pkey, log_pkey, answers_pkey
pub(super) const DELETE: &str = "WITH ledger AS (DELETE FROM {schema}.runs WHERE job_id = $1), \
    failures AS (DELETE FROM {schema}.errors WHERE job_id = $1), \
    log AS (DELETE FROM {schema}.log WHERE job_id = $1), \
    answers AS (DELETE FROM {schema}.answers WHERE job_id = $1) \
    DELETE FROM {schema}.jobs WHERE id = $1";

pub(super) async fn delete(engine: &PostgresEngine, id: JobId) -> Result<()> {
    let mut work = engine.connections.begin().await?;
    let deleted = delete_in(engine, &mut work, id).await;
    work.finish(deleted).await
}

async fn delete_in(engine: &PostgresEngine, work: &mut Work, id: JobId) -> Result<()> {
    let job = locked(engine, work, id).await?;
    if job.state == State::Executing {
        let rule = "a running job cannot be deleted: cancel it first";
        return Err(Error::WrongState { id, state: job.state, rule });
    }
    work.rows(engine.query(&engine.sql.delete).bind(id.0)).await?;
    Ok(())
}

/// `$2`: paused or not, NULL to leave it; `$3`: whether to set the concurrency, to `$4`. queues_pkey
///
/// Whoever opens a queue also lifts the blocks of the accounts that concern it: all of that table is read, which is
/// empty almost always.
pub(super) const CHANGE_QUEUE: &str = concat!(
    "WITH lifted AS (DELETE FROM {schema}.accounts WHERE $2 IS FALSE AND $1 = ANY (queues)) \
     INSERT INTO {schema}.queues AS q (name, paused, concurrency) \
     VALUES ($1, coalesce($2, false), CASE WHEN $3 THEN $4 END) \
     ON CONFLICT (name) DO UPDATE SET paused = coalesce($2, q.paused), \
         concurrency = CASE WHEN $3 THEN $4 ELSE q.concurrency END \
     RETURNING name, paused, concurrency, ",
    tell!("$5", "name")
);

pub(super) async fn change_queue(
    engine: &PostgresEngine,
    name: &str,
    change: QueueChange,
) -> Result<QueueSettings> {
    let (paused, scales, concurrency) = match change {
        QueueChange::Pause => (Some(true), false, None),
        QueueChange::Resume => (Some(false), false, None),
        QueueChange::Scale(concurrency) => (None, true, concurrency.map(i64::from)),
    };
    let query = engine.query(&engine.sql.change_queue).bind(name).bind(paused).bind(scales);
    let row = engine.row(query.bind(concurrency).bind(engine.channel())).await?;
    Ok(query::settings(&row)?)
}

async fn locked(engine: &PostgresEngine, work: &mut Work, id: JobId) -> Result<Job> {
    let rows = work.rows(engine.query(&engine.sql.locked).bind(id.0)).await?;
    Ok(row::job(rows.first().ok_or(Error::NoSuchJob(id))?)?)
}
