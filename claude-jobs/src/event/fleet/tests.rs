//! What a subscription keeps of runs.

use std::sync::Arc;

use super::*;
use crate::engine::{ClaimRequest, Limits};
use crate::job::NewJob;
use crate::passthrough::Passthrough;
use crate::runtime::shared::Shared;

/// A job that is deleted between its start and the look at its end is not told, and not waited for.
#[tokio::test]
async fn nothing_is_kept_of_runs_that_are_over() {
    let queue = Queue::connect("sqlite::memory:").await.expect("a database");
    let queue = queue.register::<Passthrough>().expect("the name is free");
    let shared = Shared::of(queue.clone()).await.expect("a node");
    let mut events = queue.events().with_progress().await.expect("a subscription");
    for is_deleted in [true, false, true] {
        let mut job = NewJob::new("claude", serde_json::Value::Null);
        job.args.set("prompt", "x".into());
        queue.insert(job).await.expect("an insert");
        let request = ClaimRequest {
            queue: "default",
            node: &shared.node_id(),
            workers: &["claude"],
            limits: Limits::local(1),
            running: 0,
            ahead: 0,
            host: &shared.session_host(),
            at_most: 1,
            account: "",
            now: queue.now(),
        };
        let engine = queue.engine();
        let job = engine.claim(&request).await.expect("a claim").jobs.remove(0);
        events.look().await.expect("a look");
        assert_eq!((events.running.len(), events.logs.as_ref().map(HashMap::len)), (1, Some(1)));
        let finished = shared.executor.broken(Arc::new(job), "over");
        engine.settle(&[finished.settlement], queue.now()).await.expect("a write");
        if is_deleted {
            queue.delete(finished.job.id).await.expect("it is over");
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while (events.running.len(), events.logs.as_ref().map(HashMap::len)) != (0, Some(0)) {
            assert!(Instant::now() < deadline, "{events:?}");
            events.look().await.expect("a look");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let told = std::iter::from_fn(|| events.next.pop_front()).map(|(event, _)| event.kind.name());
    assert_eq!(told.filter(|name| *name != "started").count(), 1, "the end of the one that was not deleted");
}
