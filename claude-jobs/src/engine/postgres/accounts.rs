//! Accounts for which claims are stopped. The table is empty almost always.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresEngine;
use super::moment::Moment;
use super::row::{all_cleaned, cleaned, moment, optional_text, text};
use crate::engine::AccountRow;
use crate::error::Result;

pub(super) const ACCOUNTS: &str = "SELECT name, kind, reason, since, until, times, queues, trial_node \
    FROM {schema}.accounts ORDER BY name COLLATE \"C\"";

pub(super) async fn accounts(engine: &PostgresEngine) -> Result<Vec<AccountRow>> {
    let rows = engine.rows(engine.query(&engine.sql.accounts)).await?;
    Ok(rows.iter().map(account).collect::<sqlx::Result<_>>()?)
}

fn account(row: &PgRow) -> sqlx::Result<AccountRow> {
    Ok(AccountRow {
        name: text(row, "name")?,
        kind: text(row, "kind")?,
        reason: text(row, "reason")?,
        since: moment(row, "since")?,
        until: moment(row, "until")?,
        times: u32::try_from(row.try_get::<i64, _>("times")?.max(0)).unwrap_or(u32::MAX),
        queues: row.try_get("queues")?,
        trial_node: optional_text(row, "trial_node")?,
    })
}

/// The queues of all nodes that have met it are kept. accounts_pkey, as all here.
pub(super) const BLOCK: &str = "INSERT INTO {schema}.accounts AS a (name, kind, reason, since, until, times, queues) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, reason = excluded.reason, \
        until = greatest(a.until, excluded.until), times = greatest(a.times, excluded.times), \
        queues = ARRAY (SELECT unnest(a.queues) UNION SELECT unnest(excluded.queues) ORDER BY 1)";

pub(super) async fn block(engine: &PostgresEngine, row: &AccountRow) -> Result<()> {
    let query = engine.query(&engine.sql.block_account).bind(cleaned(&row.name)).bind(cleaned(&row.kind));
    let query = query.bind(cleaned(&row.reason)).bind(Moment(row.since)).bind(Moment(row.until));
    engine.rows(query.bind(i64::from(row.times)).bind(all_cleaned(&row.queues))).await?;
    Ok(())
}

pub(super) const BEGIN_TRIAL: &str = "UPDATE {schema}.accounts SET until = $4, trial_node = $3 \
    WHERE name = $1 AND until = $2 RETURNING name";

pub(super) async fn begin_trial(
    engine: &PostgresEngine,
    account: &str,
    seen: Timestamp,
    node: &str,
    until: Timestamp,
) -> Result<bool> {
    let query = engine.query(&engine.sql.begin_trial).bind(cleaned(account)).bind(Moment(seen));
    Ok(!engine.rows(query.bind(cleaned(node)).bind(Moment(until))).await?.is_empty())
}

/// All nodes are told: what they may claim is in any queue.
pub(super) const ALLOW: &str =
    "DELETE FROM {schema}.accounts WHERE name = $1 AND trial_node = $2 RETURNING pg_notify($3, '')::text";

pub(super) const BLOCK_ANEW: &str = "UPDATE {schema}.accounts \
    SET trial_node = NULL, kind = $3, reason = $4, until = $5, times = $6 \
    WHERE name = $1 AND trial_node = $2 RETURNING name";

pub(super) async fn end_trial(
    engine: &PostgresEngine,
    account: &str,
    node: &str,
    stopped: Option<&AccountRow>,
) -> Result<bool> {
    let of = |statement| engine.query(statement).bind(cleaned(account)).bind(cleaned(node));
    let query = match stopped {
        None => of(&engine.sql.allow_account).bind(engine.channel()),
        Some(row) => of(&engine.sql.block_anew)
            .bind(cleaned(&row.kind))
            .bind(cleaned(&row.reason))
            .bind(Moment(row.until))
            .bind(i64::from(row.times)),
    };
    Ok(!engine.rows(query).await?.is_empty())
}
