//! How far the server's clock is ahead of ours.

use jiff::SignedDuration;

use super::PostgresEngine;
use super::row::moment;
use crate::clock::{Clock, Uptime};
use crate::error::Result;

/// How many samples are taken; the one whose answer came quickest is the most exact.
const SAMPLES: u32 = 5;

/// Not the transaction's start, which is earlier.
pub(super) const SERVER_TIME: &str = "SELECT clock_timestamp() AS now";

/// Half of the time that a question takes is taken for the way back: wrong by at most that much.
pub(super) async fn offset(engine: &PostgresEngine) -> Result<SignedDuration> {
    let clock = Clock::system();
    let mut best = None;
    for _ in 0..SAMPLES {
        let asked = Uptime::now();
        let row = engine.row(engine.query(&engine.sql.server_time)).await?;
        let (answered, ours) = (Uptime::now(), clock.now());
        let took = answered.elapsed_since_boot().saturating_sub(asked.elapsed_since_boot());
        let theirs = moment(&row, "now")?;
        let back = i64::try_from(took.as_micros() / 2).unwrap_or(i64::MAX);
        let ahead = theirs.as_microsecond().saturating_add(back).saturating_sub(ours.as_microsecond());
        if best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, ahead));
        }
    }
    Ok(SignedDuration::from_micros(best.map_or(0, |(_, ahead)| ahead)))
}
