//! Counts the jobs of the queues for the gauges, where that is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::job::State;
use crate::queue::Queue;
use crate::runtime::shared::Shared;
use crate::telemetry::meter;

pub(crate) async fn serve(shared: Arc<Shared>, every: Duration, shutdown: CancellationToken) {
    let mut told = HashMap::new();
    loop {
        if let Err(error) = once(&shared.queue, &mut told).await {
            tracing::warn!(%error, "cannot count the jobs of the queues, will try again");
            meter::database_error("count");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// What was told once is told to be nothing when it is no more.
async fn once(queue: &Queue, told: &mut HashMap<(String, State), u64>) -> Result<()> {
    let counts = queue.counts().await?;
    told.values_mut().for_each(|jobs| *jobs = 0);
    told.extend(counts.into_iter().map(|count| ((count.queue, count.state), count.jobs)));
    told.iter().for_each(|((queue, state), jobs)| meter::queue_jobs(queue, *state, *jobs));
    Ok(())
}
