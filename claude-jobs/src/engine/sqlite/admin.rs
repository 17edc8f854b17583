//! What an operator does to jobs and queues.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::insert::json;
use super::row::{self, job_columns, state_bit};
use super::{SqliteEngine, accounts, query};
use crate::engine::{Cancelled, QueueChange, QueueSettings, no_answer};
use crate::error::{Error, Result};
use crate::job::{Job, JobId, State};

pub(super) async fn cancel(engine: &SqliteEngine, id: JobId, now: Timestamp) -> Result<Cancelled> {
    let mut transaction = engine.begin().await?;
    let job = locked(&mut transaction, id).await?;
    let cancelled = match job.state {
        State::Executing => {
            sqlx::query("UPDATE claude_jobs SET cancel_requested = 1 WHERE id = ?")
                .bind(id.0)
                .execute(&mut *transaction)
                .await?;
            Cancelled::Requested
        }
        state if state.is_final() => {
            return Err(Error::WrongState {
                id,
                state,
                rule: "only a waiting or running job can be cancelled",
            });
        }
        _ => {
            sqlx::query(
                "UPDATE claude_jobs SET state = 'cancelled', finished_at = ?, \
                 reason = 'cancelled on request', \
                 unique_key = CASE WHEN unique_states & ? THEN unique_key END WHERE id = ?",
            )
            .bind(now.as_microsecond())
            .bind(state_bit(State::Cancelled))
            .bind(id.0)
            .execute(&mut *transaction)
            .await?;
            Cancelled::Now
        }
    };
    transaction.commit().await?;
    Ok(cancelled)
}

pub(super) async fn retry(engine: &SqliteEngine, id: JobId, now: Timestamp) -> Result<Job> {
    let mut transaction = engine.begin().await?;
    let job = locked(&mut transaction, id).await?;
    if matches!(job.state, State::Executing | State::Available) {
        let rule = "only a job that waits for its time or is over can be retried";
        return Err(Error::WrongState { id, state: job.state, rule });
    }
    sqlx::query(
        "UPDATE claude_jobs SET state = 'available', scheduled_at = ?, finished_at = NULL, reason = NULL, \
         cancel_requested = 0, max_attempts = max(max_attempts, attempt - uncounted + 1) WHERE id = ?",
    )
    .bind(now.as_microsecond())
    .bind(id.0)
    .execute(&mut *transaction)
    .await?;
    let job = locked(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(job)
}

pub(super) async fn retry_handler(engine: &SqliteEngine, id: JobId, now: Timestamp) -> Result<Job> {
    let mut transaction = engine.begin().await?;
    let job = locked(&mut transaction, id).await?;
    let retried = sqlx::query(
        "UPDATE claude_jobs SET state = 'available', scheduled_at = ?1, finished_at = NULL, reason = NULL, \
         cancel_requested = 0, continuation = ?2, session_host = NULL WHERE id = ?3 AND state <> 'executing' \
         AND id IN (SELECT job_id FROM claude_jobs_answers)",
    )
    .bind(now.as_microsecond())
    .bind(json(&job.continuation.of_answer())?)
    .bind(id.0)
    .execute(&mut *transaction)
    .await?;
    if retried.rows_affected() == 0 {
        return Err(no_answer(&job));
    }
    let job = locked(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(job)
}

pub(super) async fn delete(engine: &SqliteEngine, id: JobId) -> Result<()> {
    let mut transaction = engine.begin().await?;
    let job = locked(&mut transaction, id).await?;
    if job.state == State::Executing {
        let rule = "a running job cannot be deleted: cancel it first";
        return Err(Error::WrongState { id, state: job.state, rule });
    }
    for sql in [
        "DELETE FROM claude_jobs_runs WHERE job_id = ?",
        "DELETE FROM claude_jobs_errors WHERE job_id = ?",
        "DELETE FROM claude_jobs_log WHERE job_id = ?",
        "DELETE FROM claude_jobs_answers WHERE job_id = ?",
        "DELETE FROM claude_jobs WHERE id = ?",
    ] {
        sqlx::query(sql).bind(id.0).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn change_queue(
    engine: &SqliteEngine,
    name: &str,
    change: QueueChange,
) -> Result<QueueSettings> {
    let mut transaction = engine.begin().await?;
    let mut settings = query::queue(&mut *transaction, name).await?;
    match change {
        QueueChange::Pause => settings.paused = true,
        QueueChange::Resume => settings.paused = false,
        QueueChange::Scale(concurrency) => settings.concurrency = concurrency,
    }
    let sql = "INSERT OR REPLACE INTO claude_jobs_queues (name, paused, concurrency) VALUES (?, ?, ?)";
    let query = sqlx::query(sql).bind(name).bind(settings.paused).bind(settings.concurrency);
    query.execute(&mut *transaction).await?;
    if change == QueueChange::Resume {
        sqlx::query(accounts::LIFT).bind(name).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(settings)
}

/// The job, inside a transaction that holds the write lock.
async fn locked(connection: &mut SqliteConnection, id: JobId) -> Result<Job> {
    let sql = concat!("SELECT ", job_columns!(), " FROM claude_jobs WHERE id = ?");
    let row = sqlx::query(sql).bind(id.0).fetch_optional(connection).await?;
    Ok(row::job(&row.ok_or(Error::NoSuchJob(id))?)?)
}
