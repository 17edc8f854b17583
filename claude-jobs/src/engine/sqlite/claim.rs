//! Claims: due jobs become `executing`, their attempt counts up.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, SqliteExecutor, SqlitePool};

use super::insert::json;
use super::row::{self, job_columns, state_bit};
use super::script::Script;
use super::{limited, query};
use crate::clock::timestamp;
use crate::engine::{ClaimRequest, Claimed, QueueSettings};
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
///
/// `+`, here and in other statements that are asked often: else SQLite makes the statement anew each time,
/// to know the number when it plans.
pub(super) const TAKE: &str = concat!(
    take_rows!(),
    "IN (SELECT id FROM claude_jobs WHERE state = 'available' AND concurrency_key IS NULL AND queue = ?4 \
     AND worker IN (SELECT value FROM json_each(?5)) \
     AND (session_host IS NULL OR session_host = ?7) \
     ORDER BY priority, scheduled_at, id LIMIT +?6) RETURNING ",
    job_columns!()
);

/// What a claim would find. claude_jobs_due, claude_jobs_claim, claude_jobs_keyed, primary keys
pub(super) const LOOK: &str = "WITH asked (queue, node, account) AS (VALUES (?, ?, ?)) \
    SELECT asked.queue AS name, coalesce(paused, 0) AS paused, concurrency, \
    (SELECT until FROM claude_jobs_accounts WHERE name = asked.account AND trial_node IS NOT asked.node) \
        AS blocked_until, \
    EXISTS (SELECT 1 FROM claude_jobs_nodes WHERE id = asked.node) AS is_registered, \
    (SELECT min(scheduled_at) FROM claude_jobs \
        WHERE queue = asked.queue AND state IN ('scheduled', 'retryable')) AS next_due, \
    EXISTS (SELECT 1 FROM claude_jobs \
        WHERE state = 'available' AND concurrency_key IS NULL AND queue = asked.queue) AS has_unkeyed, \
    EXISTS (SELECT 1 FROM claude_jobs \
        WHERE state = 'available' AND concurrency_key IS NOT NULL AND queue = asked.queue) AS has_keyed \
    FROM asked LEFT JOIN claude_jobs_queues AS settings ON settings.name = asked.queue";

/// What a look has found.
pub(super) struct Found {
    settings: QueueSettings,
    is_registered: bool,
    /// Until when nothing is claimed for the account.
    blocked_until: Option<Timestamp>,
    next_due: Option<Timestamp>,
    has_unkeyed: bool,
    has_keyed: bool,
}

impl Found {
    pub(super) fn read(row: &SqliteRow) -> Result<Self> {
        Ok(Self {
            settings: query::settings(row)?,
            is_registered: row.try_get("is_registered")?,
            blocked_until: row.try_get::<Option<i64>, _>("blocked_until")?.map(timestamp),
            next_due: row.try_get::<Option<i64>, _>("next_due")?.map(timestamp),
            has_unkeyed: row.try_get("has_unkeyed")?,
            has_keyed: row.try_get("has_keyed")?,
        })
    }

    fn is_due(&self, request: &ClaimRequest<'_>) -> bool {
        self.next_due.is_some_and(|due| due <= request.now)
    }

    /// Whether nothing may be claimed, or there is nothing.
    fn is_idle(&self, request: &ClaimRequest<'_>) -> bool {
        let is_closed =
            request.most(&self.settings) == 0 || !self.is_registered || self.blocked_until.is_some();
        is_closed || !(self.is_due(request) || self.has_unkeyed || self.has_keyed)
    }

    fn with(self, jobs: Vec<Job>, rate_allows: Option<Timestamp>) -> Claimed {
        let next_due = self.next_due.into_iter().chain(rate_allows).min();
        let blocked_until = self.blocked_until;
        Claimed { jobs, next_due, settings: self.settings, blocked_until, has_keyed: self.has_keyed }
    }
}

pub(super) async fn look(executor: impl SqliteExecutor<'_>, request: &ClaimRequest<'_>) -> Result<Found> {
    let query = sqlx::query(LOOK).bind(request.queue).bind(request.node).bind(request.account);
    let row = query.fetch_one(executor).await?;
    Found::read(&row)
}

/// Adds a look, which answers with one row.
pub(super) fn add_look(script: &mut Script, request: &ClaimRequest<'_>) -> Result<()> {
    script.add(LOOK);
    script.bind(request.queue)?.bind(request.node)?.bind(request.account)?;
    Ok(())
}

/// The answer to a claim that would find nothing; `None` when it may find something.
pub(super) async fn nothing(readers: &SqlitePool, request: &ClaimRequest<'_>) -> Result<Option<Claimed>> {
    let found = look(readers, request).await?;
    Ok(found.is_idle(request).then(|| found.with(Vec::new(), None)))
}

/// Claims inside a transaction that holds the write lock, in which what was found stays true, and commits
/// it.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    request: &ClaimRequest<'_>,
    mut found: Found,
) -> Result<Claimed> {
    if found.is_idle(request) {
        commit(connection).await?;
        return Ok(found.with(Vec::new(), None));
    }
    if found.is_due(request) {
        stage(connection, request).await?;
        found = look(&mut *connection, request).await?;
    }
    if found.has_keyed || request.limits.span_nodes() {
        let (jobs, rate_allows) = limited::take(connection, request, &found.settings).await?;
        commit(connection).await?;
        return Ok(found.with(jobs, rate_allows));
    }
    let jobs = take_and_commit(connection, request, request.most(&found.settings)).await?;
    Ok(found.with(jobs, None))
}

pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<()> {
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}

/// Waiting jobs whose time has come become `available`.
async fn stage(connection: &mut SqliteConnection, request: &ClaimRequest<'_>) -> Result<()> {
    sqlx::query(STAGE).bind(request.queue).bind(request.now.as_microsecond()).execute(connection).await?;
    Ok(())
}

async fn take_and_commit(
    connection: &mut SqliteConnection,
    request: &ClaimRequest<'_>,
    most: u32,
) -> Result<Vec<Job>> {
    let mut script = Script::default();
    script.add(TAKE);
    script
        .bind(request.now.as_microsecond())?
        .bind(request.node)?
        .bind(state_bit(State::Executing))?
        .bind(request.queue)?
        .bind(json(&request.workers)?)?
        .bind(most)?
        .bind(request.host)?;
    script.add("COMMIT");
    let rows = script.run(connection).await?;
    let mut jobs = rows.iter().map(row::job).collect::<sqlx::Result<Vec<_>>>()?;
    in_order(&mut jobs);
    Ok(jobs)
}

/// `RETURNING` has no order.
pub(super) fn in_order(jobs: &mut [Job]) {
    jobs.sort_by_key(|job| (job.priority, job.scheduled_at, job.id));
}
