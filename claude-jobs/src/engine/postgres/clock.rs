//! The server's clock, by which all nodes go.

use jiff::Timestamp;

use super::PostgresEngine;
use super::row::moment;
use crate::error::Result;

/// Not the transaction's start, which is earlier.
pub(super) const SERVER_TIME: &str = "SELECT clock_timestamp() AS now";

pub(super) async fn now(engine: &PostgresEngine) -> Result<Timestamp> {
    Ok(moment(&engine.row(engine.query(&engine.sql.server_time)).await?, "now")?)
}
