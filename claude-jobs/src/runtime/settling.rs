//! Settles what the database refuses to take as it is.

use super::shared::Shared;
use crate::engine::{self, Settled};
use crate::error::Result;
use crate::settlement::Settlement;
use crate::telemetry::content;

impl Shared {
    /// With less and less of it, until the database takes it. Says what was written instead, if anything was.
    pub(crate) async fn settle_with_fallback(
        &self,
        settlement: &Settlement,
    ) -> Result<(Settled, Option<Settlement>)> {
        let (engine, now) = (self.queue.engine(), self.queue.now());
        let settle = async |new: &Settlement| {
            let settled = engine.settle(std::slice::from_ref(new), now).await?;
            Ok(settled.first().copied().unwrap_or(Settled::Superseded))
        };
        let error = match settle(settlement).await {
            Err(error) if engine::is_forbidden(&error) => error,
            settled => return settled.map(|settled| (settled, None)),
        };
        // It may quote what was to be written.
        let problem = self.executor.secrets.hide(&error.to_string());
        let (id, shown) = (settlement.id, content(&problem));
        tracing::error!(job.id = %id, error = shown, "cancelled: the database refuses its settlement");
        let bare = settlement.bare(&problem, now);
        match settle(&bare).await {
            Err(error) if engine::is_forbidden(&error) => {
                let barest = settlement.barest(now);
                Ok((settle(&barest).await?, Some(barest)))
            }
            settled => Ok((settled?, Some(bare))),
        }
    }
}
