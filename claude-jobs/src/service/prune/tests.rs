//! Which jobs go, with everything that is theirs, and which stay.

use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::engine::Filter;
use crate::job::{JobId, NewJob, State};
use crate::passthrough::Passthrough;
use crate::worker::Worker;

const DAY: Duration = Retention::DAY;

async fn queue(clock: &Clock, folder: &tempfile::TempDir) -> Queue {
    let url = format!("sqlite://{}/jobs.db", folder.path().display());
    let queue = Queue::connect(&url).await.expect("a database").with_clock(clock.clone());
    queue.register::<Passthrough>().expect("one of its name")
}

fn job() -> NewJob {
    let mut job = NewJob::new(Passthrough::DEFINITION.name, json!({}));
    job.args.set("prompt", json!("x"));
    job
}

/// Cancelled jobs, so many.
async fn cancelled(queue: &Queue, count: usize) -> Vec<JobId> {
    let inserted = queue.insert_many(std::iter::repeat_n(job(), count)).await.expect("valid");
    for inserted in &inserted {
        queue.cancel(inserted.id()).await.expect("it waits");
    }
    inserted.iter().map(crate::Inserted::id).collect()
}

async fn left(queue: &Queue) -> Vec<JobId> {
    let jobs = queue.list(&Filter { limit: 5_000, ..Filter::default() }).await.expect("a read");
    jobs.iter().map(|job| job.id).rev().collect()
}

#[tokio::test]
async fn only_what_is_over_for_long_enough_goes() {
    let (clock, folder) =
        (Clock::manual("2026-06-01T00:00:00Z".parse().expect("a moment")), tempfile::tempdir());
    let folder = folder.expect("a temporary folder");
    let queue = queue(&clock, &folder).await;
    let waits = queue.insert(job()).await.expect("valid").id();
    let old = cancelled(&queue, 2).await;
    clock.advance(10 * DAY);
    let recent = cancelled(&queue, 1).await;

    once(&queue, Retention::default()).await.expect("a round");
    once(&queue, Retention::default().completed(Duration::ZERO).discarded(Duration::ZERO))
        .await
        .expect("a round");
    once(&queue, Retention::default().cancelled(11 * DAY)).await.expect("a round");
    assert_eq!(left(&queue).await.len(), 4, "the default keeps everything; other states and ages stay");

    assert_eq!(queue.prunable(State::Cancelled, 9 * DAY).await.expect("a read"), 2);
    once(&queue, Retention::default().cancelled(9 * DAY)).await.expect("a round");
    assert_eq!(left(&queue).await, [waits, recent[0]]);
    assert!(queue.get(old[0]).await.expect("a read").is_none());
    let error = queue.prune(State::Available, Duration::ZERO).await.expect_err("not over").to_string();
    assert!(error.contains("state `available`: only `completed`, `discarded` and `cancelled`"), "{error}");
}

#[tokio::test]
async fn a_batch_takes_the_oldest_first_and_no_more_than_its_limit() {
    let (clock, folder) =
        (Clock::manual("2026-06-01T00:00:00Z".parse().expect("a moment")), tempfile::tempdir());
    let folder = folder.expect("a temporary folder");
    let queue = queue(&clock, &folder).await;
    let first = cancelled(&queue, 2).await;
    clock.advance(DAY);
    let second = cancelled(&queue, 2).await;
    clock.advance(DAY);
    let engine = queue.engine();
    assert_eq!(engine.prune(State::Cancelled, clock.now(), 3).await.expect("a write"), 3);
    let stays = left(&queue).await;
    assert!(stays.len() == 1 && !first.contains(&stays[0]) && second.contains(&stays[0]), "{stays:?}");
}

#[tokio::test]
async fn two_nodes_prune_everything_once() {
    let (clock, folder) =
        (Clock::manual("2026-06-01T00:00:00Z".parse().expect("a moment")), tempfile::tempdir());
    let folder = folder.expect("a temporary folder");
    let (one, other) = (queue(&clock, &folder).await, queue(&clock, &folder).await);
    cancelled(&one, 1_100).await;
    clock.advance(DAY);
    let (left_count, right_count) = tokio::join!(
        one.prune(State::Cancelled, Duration::ZERO),
        other.prune(State::Cancelled, Duration::ZERO)
    );
    assert_eq!(left_count.expect("a round") + right_count.expect("a round"), 1_100);
    assert!(left(&one).await.is_empty());
}
