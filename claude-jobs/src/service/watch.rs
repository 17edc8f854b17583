//! Notices what other connections write, so that their inserts start here without waiting for a poll.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::runtime::shared::Shared;
use crate::telemetry::meter;

/// How long it waits before it watches again after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    let wakes = shared.queue.wakes();
    let wake = |queue: Option<&str>| queue.map_or_else(|| wakes.wake_all(), |queue| wakes.wake(queue));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            error = shared.queue.engine().watch(&wake) => {
                tracing::warn!(%error, "cannot watch for changes, will try again");
                meter::database_error("watch");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(AFTER_ERROR) => {}
        }
    }
}
