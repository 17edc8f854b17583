//! Accounts for which claims are stopped. The table is empty almost always.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use super::SqliteEngine;
use super::insert::json;
use super::query::{json_or_default, small};
use super::row::{optional_text, text};
use crate::clock::timestamp;
use crate::engine::AccountRow;
use crate::error::Result;

/// Lifts the blocks that concern a queue.
pub(super) const LIFT: &str = "DELETE FROM claude_jobs_accounts \
    WHERE EXISTS (SELECT 1 FROM json_each(queues) WHERE value = ?)";

pub(super) async fn accounts(readers: &SqlitePool) -> Result<Vec<AccountRow>> {
    let sql = "SELECT name, kind, reason, since, until, times, queues, trial_node \
        FROM claude_jobs_accounts ORDER BY name";
    let rows = sqlx::query(sql).fetch_all(readers).await?;
    Ok(rows.iter().map(account).collect::<sqlx::Result<_>>()?)
}

fn account(row: &SqliteRow) -> sqlx::Result<AccountRow> {
    Ok(AccountRow {
        name: text(row, "name")?,
        kind: text(row, "kind")?,
        reason: text(row, "reason")?,
        since: timestamp(row.try_get("since")?),
        until: timestamp(row.try_get("until")?),
        times: small(row.try_get("times")?),
        queues: json_or_default(row, "queues")?,
        trial_node: optional_text(row, "trial_node")?,
    })
}

/// The queues of all nodes that have met it are kept.
pub(super) async fn block(engine: &SqliteEngine, row: &AccountRow) -> Result<()> {
    let write = sqlx::query(
        "INSERT INTO claude_jobs_accounts AS a (name, kind, reason, since, until, times, queues) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, reason = excluded.reason, \
             until = max(a.until, excluded.until), times = max(a.times, excluded.times), \
             queues = (SELECT json_group_array(value) FROM ( \
                 SELECT value FROM json_each(a.queues) UNION SELECT value FROM json_each(excluded.queues)))",
    )
    .bind(&row.name)
    .bind(&row.kind)
    .bind(&row.reason)
    .bind(row.since.as_microsecond())
    .bind(row.until.as_microsecond())
    .bind(row.times)
    .bind(json(&row.queues)?)
    .execute(&engine.writer);
    engine.written(write.await).map(drop)
}

pub(super) async fn begin_trial(
    engine: &SqliteEngine,
    account: &str,
    seen: Timestamp,
    node: &str,
    until: Timestamp,
) -> Result<bool> {
    let write = sqlx::query(
        "UPDATE claude_jobs_accounts SET until = ?4, trial_node = ?3 WHERE name = ?1 AND until = ?2",
    )
    .bind(account)
    .bind(seen.as_microsecond())
    .bind(node)
    .bind(until.as_microsecond())
    .execute(&engine.writer);
    Ok(engine.written(write.await)?.rows_affected() == 1)
}

pub(super) async fn end_trial(
    engine: &SqliteEngine,
    account: &str,
    node: &str,
    stopped: Option<&AccountRow>,
) -> Result<bool> {
    let Some(row) = stopped else {
        let write = sqlx::query("DELETE FROM claude_jobs_accounts WHERE name = ? AND trial_node = ?")
            .bind(account)
            .bind(node)
            .execute(&engine.writer);
        return Ok(engine.written(write.await)?.rows_affected() == 1);
    };
    let write = sqlx::query(
        "UPDATE claude_jobs_accounts SET trial_node = NULL, kind = ?3, reason = ?4, until = ?5, times = ?6 \
         WHERE name = ?1 AND trial_node = ?2",
    )
    .bind(account)
    .bind(node)
    .bind(&row.kind)
    .bind(&row.reason)
    .bind(row.until.as_microsecond())
    .bind(row.times)
    .execute(&engine.writer);
    Ok(engine.written(write.await)?.rows_affected() == 1)
}
