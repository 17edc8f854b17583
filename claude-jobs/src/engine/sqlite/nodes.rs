//! Nodes, their leases, and the jobs of dead ones.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Row, SqlitePool};

use super::insert::json;
use super::row::{self, job_columns};
use super::{SqliteEngine, query};
use crate::clock::timestamp;
use crate::engine::NodeRow;
use crate::error::Result;
use crate::job::{Job, JobId};

/// claude_jobs_executing: an order by id would make SQLite walk the whole table instead.
pub(super) const ORPHANS: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM claude_jobs WHERE state = 'executing' \
     AND (node IS NULL OR node NOT IN (SELECT id FROM claude_jobs_nodes))"
);

/// claude_jobs_executing
pub(super) const CANCEL_REQUESTS: &str =
    "SELECT id FROM claude_jobs WHERE state = 'executing' AND node = ? AND cancel_requested";

pub(super) async fn renew(engine: &SqliteEngine, node: &NodeRow, registered: bool) -> Result<bool> {
    // A node that was declared dead is gone from the table and cannot renew itself back into it.
    let sql = if registered {
        "UPDATE claude_jobs_nodes SET lease_until = ?5, lease = ?6, account = ?7, queues = ?8, fault = ?9 WHERE id = ?1"
    } else {
        "INSERT INTO claude_jobs_nodes \
         (id, host, process, started_at, lease_until, lease, account, queues, fault, session_host) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    };
    let write = sqlx::query(sql)
        .bind(&node.id)
        .bind(&node.host)
        .bind(&node.process)
        .bind(node.started_at.as_microsecond())
        .bind(node.lease_until.as_microsecond())
        .bind(i64::try_from(node.lease.as_micros()).unwrap_or(i64::MAX))
        .bind(&node.account)
        .bind(json(&node.queues)?)
        .bind(node.fault.as_deref())
        .bind(&node.session_host)
        .execute(&engine.writer);
    Ok(engine.written(write.await)?.rows_affected() == 1)
}

pub(super) async fn retire(engine: &SqliteEngine, node: &str) -> Result<()> {
    let write = sqlx::query("DELETE FROM claude_jobs_nodes WHERE id = ?").bind(node).execute(&engine.writer);
    engine.written(write.await).map(drop)
}

pub(super) async fn nodes(readers: &SqlitePool) -> Result<Vec<NodeRow>> {
    let rows = sqlx::query(
        "SELECT id, host, process, session_host, started_at, lease_until, lease, account, queues, fault \
         FROM claude_jobs_nodes ORDER BY id",
    )
    .fetch_all(readers)
    .await?;
    let mut nodes = Vec::with_capacity(rows.len());
    for row in rows {
        nodes.push(NodeRow {
            id: row.try_get("id")?,
            host: row.try_get("host")?,
            process: row.try_get("process")?,
            session_host: row.try_get("session_host")?,
            started_at: timestamp(row.try_get("started_at")?),
            lease_until: timestamp(row.try_get("lease_until")?),
            lease: Duration::from_micros(u64::try_from(row.try_get::<i64, _>("lease")?).unwrap_or(0)),
            account: row::text(&row, "account")?,
            queues: query::json_or_default(&row, "queues")?,
            fault: row::optional_text(&row, "fault")?,
        });
    }
    Ok(nodes)
}

pub(super) async fn orphans(engine: &SqliteEngine, dead: &[NodeRow]) -> Result<Vec<Job>> {
    let mut transaction = engine.begin().await?;
    for node in dead {
        sqlx::query("DELETE FROM claude_jobs_nodes WHERE id = ? AND lease_until = ?")
            .bind(&node.id)
            .bind(node.lease_until.as_microsecond())
            .execute(&mut *transaction)
            .await?;
    }
    let rows = sqlx::query(ORPHANS).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows.iter().map(row::job).collect::<sqlx::Result<_>>()?)
}

/// claude_jobs_sessions
pub(super) const RELEASE_SESSIONS: &str = "UPDATE claude_jobs SET session_host = NULL \
    WHERE session_host IS NOT NULL AND state IN ('scheduled', 'available', 'retryable') AND scheduled_at <= ?1 \
    AND NOT EXISTS (SELECT 1 FROM json_each(?2) AS kept \
        WHERE kept.value ->> 0 = claude_jobs.queue AND kept.value ->> 1 = claude_jobs.session_host)";

pub(super) async fn release_sessions(
    engine: &SqliteEngine,
    due_before: Timestamp,
    kept: &[(String, String)],
) -> Result<u64> {
    let mut transaction = engine.begin().await?;
    let query = sqlx::query(RELEASE_SESSIONS).bind(due_before.as_microsecond()).bind(json(&kept)?);
    let released = query.execute(&mut *transaction).await?.rows_affected();
    transaction.commit().await?;
    Ok(released)
}

pub(super) async fn cancel_requests(readers: &SqlitePool, node: &str) -> Result<Vec<JobId>> {
    let ids: Vec<i64> = sqlx::query_scalar(CANCEL_REQUESTS).bind(node).fetch_all(readers).await?;
    Ok(ids.into_iter().map(JobId).collect())
}
