//! Notices what other processes write, so that their inserts start here without waiting for a poll.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::runtime::shared::Shared;

/// How often it looks. A look is one read of shared memory.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut seen = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match shared.queue.engine().change_counter().await {
            Ok(counter) => {
                // The first look wakes too: what was written between the producers' first claims and
                // now would otherwise go unnoticed.
                if seen.replace(counter) != Some(counter) {
                    shared.queue.wake();
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for changes, will try again"),
        }
    }
}
