//! Wakes: what another connection does is noticed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Database;
use super::fixture::{
    NODE, QUEUE, ask, at, claim, due, end, insert, insert_all, keyed, new, open, running, settle, written,
};
use crate::engine::{ClaimRequest, Engine, QueueChange};
use crate::job::{JobRow, State};
use crate::settlement::Settlement;

/// A wake may take so long: more than the slowest engine's look, less than anybody waits.
const SOON: Duration = Duration::from_secs(10);

/// Whoever was woken for what happened before is so within this time.
const QUIET: Duration = Duration::from_millis(400);

/// The wakes that an engine is told of, until this is dropped.
struct Watched {
    wakes: mpsc::UnboundedReceiver<Option<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn new(engine: std::sync::Arc<dyn Engine>) -> Self {
        let (sender, wakes) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let error = engine.watch(&|queue| drop(sender.send(queue.map(str::to_owned)))).await;
            panic!("it watches for as long as the database is there: {error}");
        });
        Self { wakes, task }
    }

    /// Until nothing has come for a while.
    async fn is_quiet(&mut self) {
        while let Ok(wake) = timeout(QUIET, self.wakes.recv()).await {
            wake.expect("it watches");
        }
    }

    /// A wake for this queue, or for all.
    async fn is_woken(&mut self, queue: &str, what: &str) {
        let woken =
            async { while self.wakes.recv().await.expect("it watches").is_some_and(|name| name != queue) {} };
        timeout(SOON, woken).await.unwrap_or_else(|_| panic!("{what}: no wake"));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All that makes a job claimable, and a request for cancellation.
pub async fn what_others_do(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let run = running(&*engine, new(at(0))).await;
    let waits = insert(&*engine, due(at(0), at(500))).await;
    let mut watched = Watched::new(engine.clone());
    watched.is_woken(QUEUE, "whatever happened before").await;

    watched.is_quiet().await;
    insert(&*other, new(at(0))).await;
    watched.is_woken(QUEUE, "an insert").await;

    watched.is_quiet().await;
    let rows: Vec<_> = ["x", "y"].map(|queue| JobRow { queue: queue.into(), ..new(at(0)) }).to_vec();
    insert_all(&*other, &rows).await;
    watched.is_woken("y", "several at once").await;

    watched.is_quiet().await;
    other.cancel(run.id, at(1)).await.expect("it runs");
    watched.is_woken(QUEUE, "a request for cancellation").await;

    watched.is_quiet().await;
    other.retry(waits.id, at(1)).await.expect("it waits for its time");
    watched.is_woken(QUEUE, "a retry by hand").await;

    watched.is_quiet().await;
    let follow_ons = vec![JobRow { queue: "next".into(), ..new(at(1)) }];
    assert!(settle(&*other, Settlement { follow_ons, ..end(&run, State::Completed, at(1)) }, at(1)).await);
    watched.is_woken("next", "a follow-on").await;

    let run = claim(&*engine, &ask(1, at(2))).await.remove(0);
    watched.is_quiet().await;
    assert!(settle(&*other, end(&run, State::Available, at(2)), at(2)).await);
    watched.is_woken(QUEUE, "a job that was given back").await;

    // Both of the ways in which a run can end.
    for claims in [None, Some(ClaimRequest { queue: "empty", ..ask(1, at(3)) })] {
        let run = running(&*engine, JobRow { queue: "keys".into(), ..keyed("a", at(3)) }).await;
        watched.is_quiet().await;
        let turn = other.turn(&[end(&run, State::Completed, at(3))], claims.as_ref(), at(3)).await;
        assert_eq!(written(&turn.expect("a turn").settled), [true]);
        watched.is_woken("keys", "a concurrency key that is free").await;
    }

    other.change_queue(QUEUE, QueueChange::Pause).await.expect("a change");
    watched.is_quiet().await;
    other.change_queue(QUEUE, QueueChange::Resume).await.expect("a change");
    watched.is_woken(QUEUE, "a queue that was opened").await;

    watched.is_quiet().await;
    other.change_queue(QUEUE, QueueChange::Scale(Some(9))).await.expect("a change");
    watched.is_woken(QUEUE, "a queue that was widened").await;
}

/// Several watch at once; who stops watching stands in nobody's way.
pub async fn dropped(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    for _ in 0..20 {
        let mut watched = Watched::new(engine.clone());
        watched.is_woken(QUEUE, "at first").await;
        drop(watched);
    }
    let (mut one, mut two) = (Watched::new(engine.clone()), Watched::new(other.clone()));
    one.is_woken(QUEUE, "at first").await;
    two.is_woken(QUEUE, "at first").await;
    one.is_quiet().await;
    two.is_quiet().await;
    drop(two);
    insert(&*other, new(at(0))).await;
    one.is_woken(QUEUE, "an insert").await;
    drop(one);
    assert_eq!(claim(&*engine, &ask(9, at(0))).await[0].node.as_deref(), Some(NODE));
}
