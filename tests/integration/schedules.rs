//! Schedules through a whole runtime: the tick of a worker's own entry and of a builder's becomes a run;
//! what drains inserts nothing.

use std::sync::Arc;
use std::time::Duration;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs::schedule::Cron;
use tokio::sync::{Notify, oneshot};

use crate::workers::{Place, Plain, success};

/// Due on a leap day only: every runtime of this program has the entry.
#[claude_worker(queue = "leap", cron = "0 0 29 2 *", prompt = "Say what is special about today.")]
struct LeapDay;

const SOON: Duration = Duration::from_secs(20);

/// A place whose clock stands just before the leap day of 2028.
async fn leap_eve() -> (Place, Clock) {
    let clock = Clock::manual("2028-02-28T23:59:59.8Z".parse().expect("a moment"));
    let place = Place::new().await;
    (Place { queue: place.queue.clone().with_clock(clock.clone()), ..place }, clock)
}

fn runtime(place: &Place, entry: &str) -> claude_jobs::runtime::RuntimeBuilder {
    Runtime::builder(place.queue.clone())
        .queue("leap", 1)
        .queue("tests", 1)
        .cron(Cron::new(entry, "@daily"), Plain::new("daily").priority(3))
        .claude(|_: Request| async { Ok::<_, RunnerError>(success("done")) })
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + SOON;
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_tick_of_a_worker_and_one_of_the_builder_are_run() {
    let (place, clock) = leap_eve().await;
    let queue = &place.queue;
    let outcomes = async |entry: &str| {
        let ticks = queue.ticks(entry, 10).await.expect("a read");
        ticks.iter().map(|tick| serde_json::to_value(tick.outcome).expect("text")).collect::<Vec<_>>()
    };
    let watching = async {
        for entry in ["LeapDay", "daily"] {
            until("seen", async || outcomes(entry).await == ["first_seen"]).await;
        }
        clock.advance(Duration::from_secs(1));
        for entry in ["LeapDay", "daily"] {
            until("inserted", async || outcomes(entry).await == ["inserted", "first_seen"]).await;
        }
        let mut over = Filter::default();
        over.state = Some(State::Completed);
        until("run", async || queue.list(&over).await.expect("a read").len() == 2).await;
    };
    runtime(&place, "daily").run_until(watching).await.expect("it runs");

    let jobs = queue.list(&Filter::default()).await.expect("a read");
    let leap = jobs.iter().find(|job| job.worker == "LeapDay").expect("the worker's");
    let daily = jobs.iter().find(|job| job.worker == "Plain").expect("the builder's");
    let due = "2028-02-29T00:00:00Z";
    assert_eq!(leap.meta["cron"], serde_json::json!({ "entry": "LeapDay", "due": due }));
    assert_eq!(daily.meta["cron"], serde_json::json!({ "entry": "daily", "due": due }));
    assert_eq!(daily.priority, 3);
}

/// A deploy in the minute of a daily job: the old process waits for a long run, the new one comes too late.
#[tokio::test]
async fn a_node_that_drains_goes_on_recording_ticks() {
    let (place, clock) = leap_eve().await;
    let queue = &place.queue;
    let count = async |state: State| {
        let mut filter = Filter::default();
        filter.state = Some(state);
        queue.list(&filter).await.expect("a read").len()
    };
    Plain::new("a long run").insert(queue).await.expect("valid");
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&end));
    let claude = move |_: Request| {
        let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
        async move {
            begins.notify_one();
            ends.notified().await;
            Ok::<_, RunnerError>(success("done"))
        }
    };
    let (signalled, draining) = oneshot::channel();
    let signal = async {
        begun.notified().await;
        until("seen", async || queue.ticks("daily", 10).await.expect("a read").len() == 1).await;
        signalled.send(()).expect("somebody waits");
    };
    let next_day = async {
        draining.await.expect("a signal");
        clock.advance(Duration::from_secs(1));
        for entry in ["LeapDay", "daily"] {
            until("inserted", async || queue.ticks(entry, 10).await.expect("a read")[0].job_id.is_some())
                .await;
        }
        end.notify_one();
    };
    let old = runtime(&place, "daily").claude(claude).grace(SOON * 3).run_until(signal);
    let (ended, ()) = tokio::join!(old, next_day);
    ended.expect("it ends");
    assert_eq!(
        (count(State::Completed).await, count(State::Available).await),
        (1, 2),
        "it claimed none of them"
    );

    clock.advance(Duration::from_secs(600));
    runtime(&place, "daily").drain().await.expect("the new process runs them");
    assert_eq!(count(State::Completed).await, 3);
}

#[tokio::test]
async fn a_drain_ends_and_inserts_nothing() {
    let (place, clock) = leap_eve().await;
    runtime(&place, "daily").drain().await.expect("it drains");
    clock.advance(Duration::from_secs(1));
    runtime(&place, "daily").drain().await.expect("it drains");
    assert!(place.queue.ticks("daily", 10).await.expect("a read").is_empty());
    assert!(place.queue.list(&Filter::default()).await.expect("a read").is_empty());
}

#[tokio::test]
async fn an_entry_does_not_take_a_workers_name() {
    let (place, _) = leap_eve().await;
    let error = runtime(&place, "LeapDay").drain().await.expect_err("two of one name").to_string();
    assert!(error.contains("cron entry `LeapDay` is configured twice"), "{error}");
}
