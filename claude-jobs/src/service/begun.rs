//! Notes in the database which attempts claude has started in, so that whoever takes over the jobs of a dead node knows.
//!
//! No run waits for it. An attempt that is not noted yet when its node dies is looked for in the node's sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::engine::Parts;
use crate::error::Result;
use crate::job::JobId;
use crate::runtime::shared::Shared;
use crate::telemetry::{careful, meter};

/// The most attempts that are noted at once.
const AT_ONCE: usize = 256;

/// How long it waits before it tries again after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) async fn serve(
    shared: Arc<Shared>,
    mut starts: UnboundedReceiver<(JobId, u32)>,
    shutdown: CancellationToken,
) {
    let mut begun = Vec::new();
    loop {
        tokio::select! {
            // What has come is noted, however late.
            biased;
            count = starts.recv_many(&mut begun, AT_ONCE) => {
                if count == 0 {
                    return;
                }
            }
            () = shutdown.cancelled() => return,
        }
        begun.sort_unstable();
        begun.dedup();
        while let Err(error) = note(&shared, &begun).await {
            tracing::warn!(error = %careful(&error), "cannot note which runs have begun, will try again");
            meter::database_error("begun");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(AFTER_ERROR) => {}
            }
        }
        begun.clear();
    }
}

/// One that the database refuses keeps no other from being noted.
async fn note(shared: &Shared, begun: &[(JobId, u32)]) -> Result<()> {
    let mut parts = Parts::of(begun);
    while let Some(part) = parts.next() {
        if let Err(error) = shared.queue.engine().mark_begun(part).await
            && let Some(((job, _), error)) = parts.split(part, error)?
        {
            tracing::error!(job.id = %job, error = %careful(&error), "the database refuses to note that this run has begun");
        }
    }
    Ok(())
}
