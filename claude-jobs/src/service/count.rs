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

/// What was told once is told to be nothing when it is no more, once.
async fn once(queue: &Queue, told: &mut HashMap<(String, State), u64>) -> Result<()> {
    let counts = queue.counts().await?;
    told.values_mut().for_each(|jobs| *jobs = 0);
    told.extend(counts.into_iter().map(|count| ((count.queue, count.state), count.jobs)));
    told.iter().for_each(|((queue, state), jobs)| meter::queue_jobs(queue, *state, *jobs));
    told.retain(|_, jobs| *jobs > 0);
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use super::*;
    use crate::job::NewJob;
    use crate::passthrough::Passthrough;

    #[tokio::test]
    async fn what_is_no_more_is_forgotten() {
        let queue = Queue::connect("sqlite::memory:").await.expect("a database");
        let queue = queue.register::<Passthrough>().expect("the name is free");
        let mut told = HashMap::new();
        for number in 0..3 {
            let mut job = NewJob::new("claude", serde_json::Value::Null);
            job.args.set("prompt", "x".into());
            job.queue = Some(format!("queue-{number}"));
            let id = queue.insert(job).await.expect("an insert").id();
            once(&queue, &mut told).await.expect("a count");
            assert_eq!(told.len(), 1, "{told:?}");
            queue.delete(id).await.expect("it waits");
        }
        once(&queue, &mut told).await.expect("a count");
        assert_eq!(told, HashMap::new());
    }
}
