//! The removal of jobs that are over for long.

use jiff::Timestamp;
use sqlx::Row;

use super::PostgresEngine;
use super::moment::Moment;
use crate::error::Result;
use crate::job::State;

/// The queues that have jobs in the state `$1`, one by one: each the smallest beyond the last. jobs_over
macro_rules! queues {
    () => {
        "WITH RECURSIVE queues (queue) AS ( \
            (SELECT min(queue) FROM {schema}.jobs \
            WHERE state IN ('completed', 'discarded', 'cancelled') AND state = $1::text::{schema}.state) \
            UNION ALL SELECT (SELECT min(queue) FROM {schema}.jobs \
            WHERE state IN ('completed', 'discarded', 'cancelled') AND state = $1::text::{schema}.state \
                AND queue > queues.queue) \
            FROM queues WHERE queues.queue IS NOT NULL)"
    };
}

/// Those that another node is just removing are left to it. jobs_over, jobs_pkey, runs_pkey, errors_pkey
pub(super) const PRUNE: &str = concat!(
    queues!(),
    ", oldest AS (SELECT job.place FROM queues CROSS JOIN LATERAL (SELECT ctid AS place, finished_at FROM {schema}.jobs \
        WHERE state IN ('completed', 'discarded', 'cancelled') AND state = $1::text::{schema}.state \
            AND queue = queues.queue AND finished_at < $2 ORDER BY finished_at LIMIT $3) AS job \
        ORDER BY job.finished_at LIMIT $3), \
    old AS (SELECT id FROM {schema}.jobs WHERE ctid = ANY (ARRAY (SELECT place FROM oldest)) \
        AND state = $1::text::{schema}.state AND finished_at < $2 FOR UPDATE SKIP LOCKED), \
    ledger AS (DELETE FROM {schema}.runs WHERE job_id = ANY (ARRAY (SELECT id FROM old))), \
    failures AS (DELETE FROM {schema}.errors WHERE job_id = ANY (ARRAY (SELECT id FROM old))), \
    pruned AS (DELETE FROM {schema}.jobs WHERE id = ANY (ARRAY (SELECT id FROM old)) RETURNING id) \
    SELECT id FROM pruned"
);

/// After the jobs, in the same transaction: what was written into a log or as an answer while their removal waited for it is seen.
/// log_pkey, answers_pkey
pub(super) const PRUNE_LOG: &str = "WITH answers AS (DELETE FROM {schema}.answers WHERE job_id = ANY ($1)) \
    DELETE FROM {schema}.log WHERE job_id = ANY ($1)";

/// jobs_over
pub(super) const PRUNABLE: &str = concat!(
    queues!(),
    " SELECT coalesce(sum((SELECT count(*) FROM {schema}.jobs \
        WHERE state IN ('completed', 'discarded', 'cancelled') AND state = $1::text::{schema}.state \
            AND queue = queues.queue AND finished_at < $2)), 0)::bigint AS jobs \
    FROM queues WHERE queues.queue IS NOT NULL"
);

pub(super) async fn prune(
    engine: &PostgresEngine,
    state: State,
    before: Timestamp,
    limit: u32,
) -> Result<u64> {
    let query = engine.query(&engine.sql.prune).bind(state.name()).bind(Moment(before));
    let query = query.bind(i64::from(limit));
    let mut work = engine.connections.begin().await?;
    let pruned = async {
        let rows = work.rows(query).await?;
        let ids = rows.iter().map(|row| row.try_get("id")).collect::<sqlx::Result<Vec<i64>>>()?;
        let pruned = ids.len() as u64;
        if pruned > 0 {
            work.rows(engine.query(&engine.sql.prune_log).bind(ids)).await?;
        }
        Ok(pruned)
    };
    let pruned = pruned.await;
    work.finish(pruned).await
}

pub(super) async fn prunable(engine: &PostgresEngine, state: State, before: Timestamp) -> Result<u64> {
    count(engine, engine.query(&engine.sql.prunable).bind(state.name()).bind(Moment(before))).await
}

async fn count(engine: &PostgresEngine, query: super::Query<'_>) -> Result<u64> {
    let jobs: i64 = engine.row(query).await?.try_get("jobs")?;
    Ok(u64::try_from(jobs).unwrap_or(0))
}
