//! What only shows from inside: what goes on while leftover processes are looked for.

use std::sync::mpsc;

use super::*;
use crate::engine::ClaimRequest;
use crate::engine::Limits;
use crate::job::{NewJob, State};
use crate::passthrough::Passthrough;
use crate::queue::Queue;

/// A job that runs on a node of which nothing is known.
async fn orphaned() -> (Shared, crate::JobId) {
    let queue = Queue::connect("sqlite::memory:").await.expect("a database");
    let queue = queue.register::<Passthrough>().expect("the name is free");
    let mut job = NewJob::new("claude", serde_json::Value::Null);
    job.args.set("prompt", "x".into());
    let id = queue.insert(job).await.expect("an insert").id();
    let shared = Shared::of(queue).await.expect("a node");
    let node = shared.node_id();
    let request = ClaimRequest {
        queue: "default",
        node: &node,
        workers: &["claude"],
        limits: Limits::local(1),
        running: 0,
        ahead: 0,
        host: &shared.session_host(),
        at_most: 1,
        account: "",
        now: shared.queue.now(),
    };
    let engine = shared.queue.engine();
    assert_eq!(engine.claim(&request).await.expect("a claim").jobs.len(), 1);
    engine.retire(&node).await.expect("it is gone");
    (shared, id)
}

/// The machine has many processes, and the look at them takes long: on the one thread that there is everything else goes
/// on, the lease above all; and the job is not given to anybody before that look is over.
#[tokio::test(flavor = "current_thread")]
async fn a_slow_sweep_holds_up_its_own_jobs_only() {
    let (shared, id) = orphaned().await;
    let state = async || shared.queue.get(id).await.expect("a read").expect("the job").state;
    let (go, gone) = mpsc::channel::<()>();
    let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let slow = move |_: Uuid, markers: &HashSet<String>| {
        began.send(markers.clone()).expect("the test goes on");
        gone.recv_timeout(Duration::from_secs(20)).expect("the others go on meanwhile");
        0
    };
    let others = async {
        let markers = begun.recv().await.expect("it begins");
        assert_eq!(markers, HashSet::from([format!("{id}.1")]));
        shared.queue.set_clock().await.expect("the database answers");
        assert_eq!(state().await, State::Executing, "it is not rescued before the sweep is over");
        go.send(()).expect("the sweep waits");
    };
    let (rescued, ()) = tokio::join!(rescue(&shared, &[], slow), others);
    rescued.expect("a round");
    assert_eq!(state().await, State::Available);
}
