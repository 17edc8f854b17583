//! Nodes, their leases, and the jobs of dead ones.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::PostgresEngine;
use super::claim::in_order;
use super::moment::Moment;
use super::row::{self, all_cleaned, cleaned, job_columns, moment, optional_text, text};
use crate::engine::NodeRow;
use crate::error::Result;
use crate::job::{Job, JobId};

pub(super) const REGISTER: &str = "INSERT INTO {schema}.nodes (id, host, process, started_at, lease_until, lease, \
        account, queues, fault, session_host) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id";

/// A node that was declared dead is gone from the table and cannot renew itself back into it.
/// nodes_pkey
pub(super) const RENEW: &str = "UPDATE {schema}.nodes SET lease_until = $2, lease = $3, account = $4, queues = $5, fault = $6 \
     WHERE id = $1 RETURNING id";

pub(super) async fn renew(engine: &PostgresEngine, node: &NodeRow, registered: bool) -> Result<bool> {
    let lease = i64::try_from(node.lease.as_micros()).unwrap_or(i64::MAX);
    let query = if registered {
        engine.query(&engine.sql.renew).bind(&node.id).bind(Moment(node.lease_until)).bind(lease)
    } else {
        let query = engine.query(&engine.sql.register).bind(&node.id).bind(cleaned(&node.host));
        let query = query.bind(cleaned(&node.process)).bind(Moment(node.started_at));
        query.bind(Moment(node.lease_until)).bind(lease)
    };
    let query = query.bind(cleaned(&node.account)).bind(all_cleaned(&node.queues));
    let query = query.bind(node.fault.as_deref().map(cleaned));
    let query = if registered { query } else { query.bind(cleaned(&node.session_host)) };
    Ok(!engine.rows(query).await?.is_empty())
}

/// nodes_pkey
pub(super) const RETIRE: &str = "DELETE FROM {schema}.nodes WHERE id = $1";

pub(super) async fn retire(engine: &PostgresEngine, node: &str) -> Result<()> {
    engine.rows(engine.query(&engine.sql.retire).bind(node)).await?;
    Ok(())
}

pub(super) const NODES: &str = "SELECT id, host, process, session_host, started_at, lease_until, lease, account, queues, \
    fault FROM {schema}.nodes ORDER BY id COLLATE \"C\"";

pub(super) async fn nodes(engine: &PostgresEngine) -> Result<Vec<NodeRow>> {
    let rows = engine.rows(engine.query(&engine.sql.nodes)).await?;
    let mut nodes = Vec::with_capacity(rows.len());
    for row in &rows {
        nodes.push(NodeRow {
            id: text(row, "id")?,
            host: text(row, "host")?,
            process: text(row, "process")?,
            session_host: text(row, "session_host")?,
            started_at: moment(row, "started_at")?,
            lease_until: moment(row, "lease_until")?,
            lease: Duration::from_micros(u64::try_from(row.try_get::<i64, _>("lease")?).unwrap_or(0)),
            account: text(row, "account")?,
            queues: row.try_get("queues")?,
            fault: optional_text(row, "fault")?,
        });
    }
    Ok(nodes)
}

/// nodes_pkey. One that renews at the same moment is not as it was seen, and stays.
pub(super) const BURY: &str = "DELETE FROM {schema}.nodes AS n \
    USING unnest($1::text[], $2::timestamptz[]) AS dead(id, lease_until) \
    WHERE n.id = dead.id AND n.lease_until = dead.lease_until";

/// jobs_executing: an order by id would make PostgreSQL walk the whole table instead.
pub(super) const ORPHANS: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM {schema}.jobs WHERE state = 'executing' \
     AND (node IS NULL OR node NOT IN (SELECT n.id FROM {schema}.nodes AS n))"
);

pub(super) async fn orphans(engine: &PostgresEngine, dead: &[NodeRow]) -> Result<Vec<Job>> {
    if !dead.is_empty() {
        let ids: Vec<_> = dead.iter().map(|node| node.id.as_str()).collect();
        let leases: Vec<_> = dead.iter().map(|node| Moment(node.lease_until)).collect();
        engine.rows(engine.query(&engine.sql.bury).bind(ids).bind(leases)).await?;
    }
    let mut jobs = row::jobs(&engine.rows(engine.query(&engine.sql.orphans)).await?)?;
    jobs.sort_by_key(|job| job.id);
    Ok(jobs)
}

/// jobs_sessions
pub(super) const RELEASE_SESSIONS: &str = "UPDATE {schema}.jobs SET session_host = NULL \
    WHERE session_host IS NOT NULL AND state IN ('scheduled', 'available', 'retryable') AND scheduled_at <= $1 \
        AND (queue, session_host) NOT IN (SELECT * FROM unnest($2::text[], $3::text[])) RETURNING id";

pub(super) async fn release_sessions(
    engine: &PostgresEngine,
    due_before: Timestamp,
    kept: &[(String, String)],
) -> Result<u64> {
    let (queues, hosts): (Vec<_>, Vec<_>) =
        kept.iter().map(|(queue, host)| (cleaned(queue), cleaned(host))).unzip();
    let query = engine.query(&engine.sql.release_sessions).bind(Moment(due_before)).bind(queues).bind(hosts);
    Ok(engine.rows(query).await?.len() as u64)
}

/// jobs_executing
pub(super) const CANCEL_REQUESTS: &str =
    "SELECT id FROM {schema}.jobs WHERE state = 'executing' AND node = $1 AND cancel_requested";

pub(super) async fn cancel_requests(engine: &PostgresEngine, node: &str) -> Result<Vec<JobId>> {
    let rows = engine.rows(engine.query(&engine.sql.cancel_requests).bind(node)).await?;
    Ok(rows.iter().map(|row| row.try_get("id").map(JobId)).collect::<sqlx::Result<_>>()?)
}

/// jobs_executing: without an order, as above.
pub(super) const HELD: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM {schema}.jobs WHERE state = 'executing' AND queue = $1 AND node = $2"
);

pub(super) async fn held(engine: &PostgresEngine, node: &str, queue: &str) -> Result<Vec<Job>> {
    let mut jobs = row::jobs(&engine.rows(engine.query(&engine.sql.held).bind(queue).bind(node)).await?)?;
    in_order(&mut jobs);
    Ok(jobs)
}
