//! Carries cancellations to the runs of this node.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::outcome::StopReason;
use crate::runtime::shared::Shared;
use crate::telemetry::meter;

/// How often it looks while jobs run, should a wake-up have been missed.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut wakes = shared.queue.wakes().of_all();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = wakes.changed() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        if shared.runs().is_empty() {
            continue;
        }
        match shared.queue.engine().cancel_requests(&shared.node_id()).await {
            Ok(ids) => {
                let runs = shared.runs();
                let wanted = runs.iter().filter(|((id, _), _)| ids.contains(id));
                wanted.for_each(|(_, stop)| stop.fire(StopReason::Cancel));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot look for cancellations, will try again");
                meter::database_error("cancel");
            }
        }
    }
}
