//! The removal of jobs that are over for long.

use jiff::Timestamp;
use sqlx::Row;

use super::PostgresEngine;
use super::moment::Moment;
use crate::error::Result;
use crate::job::State;

/// Those that another node is just removing are left to it. jobs_finished, then the primary keys
pub(super) const PRUNE: &str = "WITH gone AS (DELETE FROM {schema}.jobs \
        WHERE id = ANY (ARRAY (SELECT id FROM {schema}.jobs \
            WHERE state = $1 AND finished_at IS NOT NULL AND finished_at < $2 \
            ORDER BY finished_at LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING id), \
    ledger AS (DELETE FROM {schema}.runs WHERE job_id = ANY (ARRAY (SELECT id FROM gone))), \
    failures AS (DELETE FROM {schema}.errors WHERE job_id = ANY (ARRAY (SELECT id FROM gone))) \
    SELECT count(*) AS jobs FROM gone";

/// jobs_finished
pub(super) const PRUNABLE: &str = "SELECT count(*) AS jobs FROM {schema}.jobs \
    WHERE state = $1 AND finished_at IS NOT NULL AND finished_at < $2";

pub(super) async fn prune(
    engine: &PostgresEngine,
    state: State,
    before: Timestamp,
    limit: u32,
) -> Result<u64> {
    let query = engine.query(&engine.sql.prune).bind(state.name()).bind(Moment(before));
    let jobs: i64 = engine.row(query.bind(i64::from(limit))).await?.try_get("jobs")?;
    Ok(u64::try_from(jobs).unwrap_or(0))
}

pub(super) async fn prunable(engine: &PostgresEngine, state: State, before: Timestamp) -> Result<u64> {
    let query = engine.query(&engine.sql.prunable).bind(state.name()).bind(Moment(before));
    let jobs: i64 = engine.row(query).await?.try_get("jobs")?;
    Ok(u64::try_from(jobs).unwrap_or(0))
}
