//! Claims: due jobs become `executing`, their attempt counts up.

use jiff::Timestamp;
use sqlx::{Row, SqliteConnection};

use super::insert::json;
use super::row::{self, job_columns, state_bit};
use super::{SqliteEngine, nodes, query};
use crate::clock::timestamp;
use crate::engine::{ClaimRequest, Claimed};
use crate::error::Result;
use crate::job::{Job, State};

// Each statement names the index it relies on; a test asks SQLite for the plans.

/// claude_jobs_due. A unique job always counts while it is `available`, so that its key stays.
pub(super) const STAGE: &str = "UPDATE claude_jobs SET state = 'available' \
    WHERE queue = ? AND state IN ('scheduled', 'retryable') AND scheduled_at <= ?";

/// claude_jobs_claim, in its own order.
pub(super) const TAKE: &str = concat!(
    "UPDATE claude_jobs SET state = 'executing', attempt = min(attempt + 1, 4294967295), attempted_at = ?, \
     node = ?, reason = NULL, unique_key = CASE WHEN unique_states & ? THEN unique_key END \
     WHERE id IN (SELECT id FROM claude_jobs WHERE state = 'available' AND queue = ? \
     AND worker IN (SELECT value FROM json_each(?)) \
     ORDER BY priority, scheduled_at, id LIMIT ?) RETURNING ",
    job_columns!()
);

/// claude_jobs_due
pub(super) const NEXT_DUE: &str = "SELECT min(scheduled_at) AS due FROM claude_jobs \
    WHERE queue = ? AND state IN ('scheduled', 'retryable')";

/// claude_jobs_claim
pub(super) const HAS_AVAILABLE: &str =
    "SELECT EXISTS (SELECT 1 FROM claude_jobs WHERE state = 'available' AND queue = ?)";

pub(super) async fn claim(engine: &SqliteEngine, request: &ClaimRequest<'_>) -> Result<Claimed> {
    let settings = query::queue(&engine.readers, request.queue).await?;
    let nothing = Claimed { settings, ..Claimed::default() };
    if request.limit(&nothing.settings) == 0 {
        return Ok(nothing);
    }
    // Most polls find nothing: look before taking the write lock.
    let mut reader = engine.readers.acquire().await?;
    let next_due = next_due(&mut reader, request.queue).await?;
    let is_due = next_due.is_some_and(|due| due <= request.now);
    if !is_due && !has_available(&mut reader, request.queue).await? {
        return Ok(Claimed { next_due, ..nothing });
    }
    drop(reader);

    let mut transaction = engine.begin().await?;
    // Settings that were committed before the lock was ours hold.
    let settings = query::queue(&mut *transaction, request.queue).await?;
    let limit = request.limit(&settings);
    if limit == 0 || !nodes::is_registered(&mut transaction, request.node).await? {
        return Ok(Claimed { settings, ..Claimed::default() });
    }
    stage(&mut transaction, request).await?;
    let jobs = take(&mut transaction, request, limit).await?;
    let next_due = self::next_due(&mut transaction, request.queue).await?;
    transaction.commit().await?;
    Ok(Claimed { jobs, next_due, settings })
}

/// Waiting jobs whose time has come become `available`.
async fn stage(connection: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<()> {
    sqlx::query(STAGE).bind(request.queue).bind(request.now.as_microsecond()).execute(connection).await?;
    Ok(())
}

async fn take(connection: &mut SqliteConnection, request: &ClaimRequest<'_>, limit: u32) -> Result<Vec<Job>> {
    let rows = sqlx::query(TAKE)
        .bind(request.now.as_microsecond())
        .bind(request.node)
        .bind(state_bit(State::Executing))
        .bind(request.queue)
        .bind(json(&request.workers)?)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let mut jobs = rows.iter().map(row::job).collect::<sqlx::Result<Vec<_>>>()?;
    jobs.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
    Ok(jobs)
}

async fn next_due(connection: &mut SqliteConnection, queue: &str) -> Result<Option<Timestamp>> {
    let row = sqlx::query(NEXT_DUE).bind(queue).fetch_one(connection).await?;
    Ok(row.try_get::<Option<i64>, _>("due")?.map(timestamp))
}

async fn has_available(connection: &mut SqliteConnection, queue: &str) -> Result<bool> {
    Ok(sqlx::query_scalar(HAS_AVAILABLE).bind(queue).fetch_one(connection).await?)
}
