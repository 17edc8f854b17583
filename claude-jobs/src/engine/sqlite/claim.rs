//! Claims: due jobs become `executing`, their attempt counts up.

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::insert::json;
use super::row::{self, job_columns, state_bit};
use super::{limited, nodes, query};
use crate::clock::timestamp;
use crate::engine::{ClaimRequest, Claimed};
use crate::error::Result;
use crate::job::{Job, State};

// Each statement names the index it relies on; a test asks SQLite for the plans.

/// claude_jobs_due. A unique job always counts while it is `available`, so that its key stays.
pub(super) const STAGE: &str = "UPDATE claude_jobs SET state = 'available' \
    WHERE queue = ? AND state IN ('scheduled', 'retryable') AND scheduled_at <= ?";

/// The beginning of a statement that takes jobs; `IN (…)` says which.
macro_rules! take_rows {
    () => {
        "UPDATE claude_jobs SET state = 'executing', attempt = min(attempt + 1, 4294967295), \
         attempted_at = ?1, node = ?2, reason = NULL, \
         unique_key = CASE WHEN unique_states & ?3 THEN unique_key END WHERE id "
    };
}
pub(super) use take_rows;

/// claude_jobs_claim, in its own order.
pub(super) const TAKE: &str = concat!(
    take_rows!(),
    "IN (SELECT id FROM claude_jobs WHERE state = 'available' AND concurrency_key IS NULL AND queue = ?4 \
     AND worker IN (SELECT value FROM json_each(?5)) \
     ORDER BY priority, scheduled_at, id LIMIT ?6) RETURNING ",
    job_columns!()
);

/// claude_jobs_due
pub(super) const NEXT_DUE: &str = "SELECT min(scheduled_at) AS due FROM claude_jobs \
    WHERE queue = ? AND state IN ('scheduled', 'retryable')";

/// claude_jobs_claim, claude_jobs_keyed
pub(super) const HAS_AVAILABLE: &str = "SELECT EXISTS (SELECT 1 FROM claude_jobs \
    WHERE state = 'available' AND concurrency_key IS NULL AND queue = ?1) \
    OR EXISTS (SELECT 1 FROM claude_jobs \
    WHERE state = 'available' AND concurrency_key IS NOT NULL AND queue = ?1)";

/// The answer to a claim that would find nothing; `None` when it may find something.
pub(super) async fn nothing(readers: &SqlitePool, request: &ClaimRequest<'_>) -> Result<Option<Claimed>> {
    let settings = query::queue(readers, request.queue).await?;
    if request.most(&settings) == 0 {
        return Ok(Some(Claimed { settings, ..Claimed::default() }));
    }
    let mut reader = readers.acquire().await?;
    let next_due = next_due(&mut reader, request.queue).await?;
    let is_due = next_due.is_some_and(|due| due <= request.now);
    if is_due || has_available(&mut reader, request.queue).await? {
        return Ok(None);
    }
    Ok(Some(Claimed { settings, next_due, ..Claimed::default() }))
}

/// Claims inside a transaction that holds the write lock.
pub(super) async fn claim(connection: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<Claimed> {
    // Settings that were committed before the lock was ours hold.
    let settings = query::queue(&mut *connection, request.queue).await?;
    let most = request.most(&settings);
    if most == 0 || !nodes::is_registered(connection, request.node).await? {
        return Ok(Claimed { settings, ..Claimed::default() });
    }
    stage(connection, request).await?;
    let (jobs, rate_allows) = if limited::applies(connection, request).await? {
        limited::take(connection, request, &settings).await?
    } else {
        (take(connection, request, most).await?, None)
    };
    let next_due = next_due(connection, request.queue).await?.into_iter().chain(rate_allows).min();
    Ok(Claimed { jobs, next_due, settings })
}

/// Waiting jobs whose time has come become `available`.
async fn stage(connection: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<()> {
    sqlx::query(STAGE).bind(request.queue).bind(request.now.as_microsecond()).execute(connection).await?;
    Ok(())
}

async fn take(connection: &mut SqliteConnection, request: &ClaimRequest<'_>, most: u32) -> Result<Vec<Job>> {
    let query = sqlx::query(TAKE)
        .bind(request.now.as_microsecond())
        .bind(request.node)
        .bind(state_bit(State::Executing))
        .bind(request.queue)
        .bind(json(&request.workers)?)
        .bind(most);
    let rows = query.fetch_all(connection).await?;
    let mut jobs = rows.iter().map(row::job).collect::<sqlx::Result<Vec<_>>>()?;
    in_order(&mut jobs);
    Ok(jobs)
}

/// `RETURNING` has no order.
pub(super) fn in_order(jobs: &mut [Job]) {
    jobs.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
}

async fn next_due(connection: &mut SqliteConnection, queue: &str) -> Result<Option<Timestamp>> {
    let row = sqlx::query(NEXT_DUE).bind(queue).fetch_one(connection).await?;
    Ok(row.try_get::<Option<i64>, _>("due")?.map(timestamp))
}

async fn has_available(connection: &mut SqliteConnection, queue: &str) -> Result<bool> {
    Ok(sqlx::query_scalar(HAS_AVAILABLE).bind(queue).fetch_one(connection).await?)
}
