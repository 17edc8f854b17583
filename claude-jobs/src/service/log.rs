//! Writes what runs print into their logs, a few events at a time.
//!
//! Nobody waits for it. While the database is away it tries again, and the recorder counts what does not fit
//! any more.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::{LogRow, Parts};
use crate::error::Result;
use crate::event::Waiting;
use crate::runtime::shared::Shared;
use crate::telemetry::content;

/// For how long events are gathered before they are written: what follows at once comes along.
const GATHER: Duration = Duration::from_millis(40);

/// The most events that are written at once.
const AT_ONCE: usize = 256;

/// How long it waits before it tries again after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// How long the end of a runtime waits for the last events.
const AT_THE_END: Duration = Duration::from_secs(2);

pub(crate) async fn serve(shared: Arc<Shared>, waiting: Waiting, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = waiting.arrived() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(GATHER) => {}
        }
        while let Err(error) = write(&shared, &waiting).await {
            tracing::warn!(%error, "cannot write the logs of runs, will try again");
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(AFTER_ERROR) => {}
            }
        }
    }
    let last = tokio::time::timeout(AT_THE_END, write(&shared, &waiting)).await;
    if !matches!(last, Ok(Ok(()))) {
        tracing::warn!("the ends of the logs of some runs are lost: the database is not there");
    }
}

/// Writes all that waits.
async fn write(shared: &Shared, waiting: &Waiting) -> Result<()> {
    loop {
        let rows = waiting.take(AT_ONCE);
        if rows.is_empty() {
            return Ok(());
        }
        match write_each(shared, &rows).await {
            Ok(refused) => waiting.refused(&refused),
            Err(error) => {
                waiting.put_back(rows);
                return Err(error);
            }
        }
    }
}

/// Writes these events. Answers with those that the database refuses.
async fn write_each(shared: &Shared, rows: &[LogRow]) -> Result<Vec<LogRow>> {
    let (mut refused, mut problem) = (Vec::new(), None);
    let mut parts = Parts::of(rows);
    while let Some(part) = parts.next() {
        if let Err(error) = shared.queue.engine().write_log(part).await
            && let Some((row, error)) = parts.split(part, error)?
        {
            refused.push(row.clone());
            problem = Some(error);
        }
    }
    if let Some(error) = problem {
        // In its words it may quote them.
        let (problem, events) = (content(&error), refused.len());
        tracing::warn!(error = problem, events, "the database refuses events of the logs of runs");
    }
    Ok(refused)
}
