//! A job of a dead node whose worker nobody knows.

use std::time::Duration;

use claude_jobs::engine::Cancelled;
use claude_jobs::prelude::*;
use claude_jobs::{Error, JobId};
use sqlx::Executor;

use crate::workers::{Place, Plain, answering};

/// All waiting jobs are being run by a node that is no more.
async fn lose(place: &Place) {
    let sql = "UPDATE claude_jobs SET state = 'executing', node = 'gone', attempt = attempt + 1, begun = attempt + 1, \
               attempted_at = inserted_at WHERE state = 'available'";
    place.connection().await.execute(sql).await.expect("there are jobs");
}

async fn state(place: &Place, id: JobId) -> State {
    place.queue.get(id).await.expect("a read").expect("it is there").state
}

/// Its worker was renamed while it ran.
#[tokio::test]
async fn a_lost_job_of_an_unknown_worker_can_be_cancelled_then_retried_or_deleted() {
    let place = Place::new().await;
    let id = Plain::new("x").insert(&place.queue).await.expect("valid").id();
    lose(&place).await;
    place.connection().await.execute("UPDATE claude_jobs SET worker = 'renamed'").await.expect("it is there");
    let (claude, runs) = answering("success");
    let serve = || Runtime::builder(place.queue.clone()).queue("tests", 1).lease(Duration::from_secs(12));
    serve().claude(claude).run_until(std::future::ready(())).await.expect("it serves");
    assert_eq!(state(&place, id).await, State::Executing, "a node that knows the worker may come");
    assert!(matches!(place.queue.delete(id).await, Err(Error::WrongState { .. })));

    assert_eq!(place.queue.cancel(id).await.expect("it runs, as far as the row says"), Cancelled::Requested);
    serve().claude(answering("success").0).run_until(std::future::ready(())).await.expect("it serves");
    let details = place.queue.details(id).await.expect("it is there");
    assert_eq!(
        (details.job.state, details.job.reason.as_deref()),
        (State::Cancelled, Some("cancelled on request"))
    );
    assert_eq!((details.runs[0].outcome.as_str(), details.runs[0].verdict.as_str()), ("lost", "cancel"));
    place.queue.retry(id).await.expect("it is over");
    place.queue.cancel(id).await.expect("it waits");
    place.queue.delete(id).await.expect("it is over");
    assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 0);
}
