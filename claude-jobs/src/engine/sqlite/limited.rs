//! Claims under limits that other nodes share: the queue's global concurrency, its rate, and the
//! concurrency keys of its jobs.
//!
//! They are counted inside the transaction that claims, which holds the write lock: what is counted
//! cannot change before the claim is written.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::claim::{in_order, take_rows};
use super::insert::json;
use super::row::{self, job_columns, state_bit};
use crate::clock::{earlier, later, timestamp};
use crate::engine::{ClaimRequest, QueueSettings, Rate};
use crate::error::Result;
use crate::job::{Job, State};

/// claude_jobs_executing
pub(super) const COUNT_EXECUTING: &str =
    "SELECT count(*) FROM claude_jobs WHERE state = 'executing' AND queue = ?";

/// The jobs without a key, then the end of a statement that takes the first of these and of the keyed jobs in `first` that
/// their keys allow; `$rule` says when.
macro_rules! take_first {
    ($rule:literal) => {
        concat!(
            "unkeyed AS (SELECT id, priority, scheduled_at FROM claude_jobs \
                 WHERE state = 'available' AND queue = ?4 AND concurrency_key IS NULL \
                 AND worker IN (SELECT name FROM known) \
                 AND (session_host IS NULL OR session_host = ?8) \
                 ORDER BY priority, scheduled_at, id LIMIT +?6) ",
            take_rows!(),
            "IN (SELECT id FROM ( \
                 SELECT id, priority, scheduled_at FROM first WHERE place <= slots \
                 UNION ALL SELECT id, priority, scheduled_at FROM unkeyed) ",
            $rule,
            " ORDER BY priority, scheduled_at, id LIMIT +?6) RETURNING ",
            job_columns!()
        )
    };
}

/// Looks at the first `?9` keyed jobs in the order of claims only, however many keys there are. Takes nothing where jobs
/// behind them may come before others that are taken: where their keys allow too few of them.
///
/// claude_jobs_keyed_first, claude_jobs_keys_in_use, claude_jobs_claim
pub(super) const TAKE_KEYED_FIRST: &str = concat!(
    "WITH known AS (SELECT value AS name FROM json_each(?5)), \
     ahead AS MATERIALIZED (SELECT id, priority, scheduled_at, concurrency_key AS key, \
         worker IN (SELECT name FROM known) AND (session_host IS NULL OR session_host = ?8) AS is_ours \
         FROM claude_jobs \
         WHERE state = 'available' AND queue = ?4 AND concurrency_key IS NOT NULL AND priority >= 0 \
         ORDER BY priority, scheduled_at, id LIMIT +?9), \
     free (key, slots) AS MATERIALIZED (SELECT key, ?7 - (SELECT count(*) FROM claude_jobs \
         WHERE state = 'executing' AND concurrency_key = key) FROM ahead WHERE is_ours GROUP BY key), \
     first AS MATERIALIZED (SELECT id, priority, scheduled_at, slots, row_number() OVER \
         (PARTITION BY key ORDER BY priority, scheduled_at, id) AS place \
         FROM ahead JOIN free USING (key) WHERE is_ours), ",
    take_first!(
        "WHERE (SELECT count(*) FROM first WHERE place <= slots) >= ?6 OR (SELECT count(*) FROM ahead) < ?9"
    )
);

/// The keys that wait are found one by one (each the smallest beyond the last), and of each only its
/// first jobs are looked at: thousands of jobs that wait for one key cost nothing.
///
/// claude_jobs_keyed, claude_jobs_keys_in_use, claude_jobs_claim
pub(super) const TAKE_KEYED: &str = concat!(
    "WITH RECURSIVE known AS (SELECT value AS name FROM json_each(?5)), \
     keys (key) AS ( \
         SELECT min(concurrency_key) FROM claude_jobs \
         WHERE state = 'available' AND queue = ?4 AND concurrency_key IS NOT NULL \
         UNION ALL SELECT (SELECT min(concurrency_key) FROM claude_jobs \
         WHERE state = 'available' AND queue = ?4 AND concurrency_key > keys.key) \
         FROM keys WHERE keys.key IS NOT NULL), \
     free (key, slots) AS (SELECT key, ?7 - (SELECT count(*) FROM claude_jobs \
         WHERE state = 'executing' AND concurrency_key = key) FROM keys WHERE key IS NOT NULL), \
     first AS (SELECT job.id, job.priority, job.scheduled_at, free.slots, \
         row_number() OVER (PARTITION BY free.key ORDER BY job.priority, job.scheduled_at, job.id) AS place \
         FROM free JOIN claude_jobs AS job ON job.id IN (SELECT id FROM claude_jobs \
             WHERE state = 'available' AND queue = ?4 AND concurrency_key = free.key \
             AND worker IN (SELECT name FROM known) \
             AND (session_host IS NULL OR session_host = ?8) \
             ORDER BY priority, scheduled_at, id LIMIT +?7) \
         WHERE free.slots > 0), ",
    take_first!("")
);

/// Takes what all limits allow; also says when the rate allows more, if it is what stands in the way.
pub(super) async fn take(
    connection: &mut SqliteConnection,
    request: &ClaimRequest<'_>,
    settings: &QueueSettings,
) -> Result<(Vec<Job>, Option<Timestamp>)> {
    let mut most = request.room(settings);
    if let Some(global) = request.limits.global {
        let executing: i64 =
            sqlx::query_scalar(COUNT_EXECUTING).bind(request.queue).fetch_one(&mut *connection).await?;
        most = most.min(global.saturating_sub(u32::try_from(executing).unwrap_or(u32::MAX)));
    }
    let mut rate_allows = None;
    if let Some(rate) = request.limits.rate {
        let (starts, first) = starts_left(connection, request, rate).await?;
        rate_allows = (starts < most).then(|| later(first.unwrap_or(request.now), rate.period));
        most = most.min(starts);
    }
    if most == 0 {
        return Ok((Vec::new(), rate_allows));
    }
    let workers = json(&request.workers)?;
    let take = |sql: &'static str| {
        sqlx::query(sql)
            .bind(request.now.as_microsecond())
            .bind(request.node)
            .bind(state_bit(State::Executing))
            .bind(request.queue)
            .bind(workers.clone())
            .bind(most)
            .bind(request.limits.per_key)
            .bind(request.host)
    };
    let mut rows =
        take(TAKE_KEYED_FIRST).bind(ClaimRequest::keyed_ahead(most)).fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        rows = take(TAKE_KEYED).fetch_all(&mut *connection).await?;
    }
    let mut jobs = rows.iter().map(row::job).collect::<sqlx::Result<Vec<_>>>()?;
    in_order(&mut jobs);
    if request.limits.rate.is_some() && !jobs.is_empty() {
        sqlx::query("INSERT INTO claude_jobs_starts (queue, at, jobs) VALUES (?, ?, ?)")
            .bind(request.queue)
            .bind(request.now.as_microsecond())
            .bind(u32::try_from(jobs.len()).unwrap_or(u32::MAX))
            .execute(connection)
            .await?;
    }
    Ok((jobs, rate_allows))
}

/// How many starts the rate leaves now, and the earliest one that counts.
async fn starts_left(
    connection: &mut SqliteConnection,
    request: &ClaimRequest<'_>,
    rate: Rate,
) -> Result<(u32, Option<Timestamp>)> {
    // Those that count no more; and those of a clock that has since been set back, which would count for as long as it
    // was ahead.
    sqlx::query("DELETE FROM claude_jobs_starts WHERE queue = ? AND (at <= ? OR at > ?)")
        .bind(request.queue)
        .bind(earlier(request.now, rate.period).as_microsecond())
        .bind(later(request.now, rate.period).as_microsecond())
        .execute(&mut *connection)
        .await?;
    let (jobs, first): (i64, Option<i64>) =
        sqlx::query_as("SELECT coalesce(sum(jobs), 0), min(at) FROM claude_jobs_starts WHERE queue = ?")
            .bind(request.queue)
            .fetch_one(connection)
            .await?;
    let left = rate.starts.saturating_sub(u32::try_from(jobs).unwrap_or(u32::MAX));
    Ok((left, first.map(timestamp)))
}
