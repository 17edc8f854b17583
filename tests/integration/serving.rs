//! What a runtime does while it serves that is not about one job: it learns of more slots, gives up handlers that do
//! not end, and does not start with what cannot go well.

use std::sync::Arc;
use std::time::Duration;

use claude_jobs::claude::{ClaudeCli, Request, RunnerError};
use claude_jobs::prelude::*;
use claude_jobs::retention::Retention;
use tokio::sync::{Semaphore, oneshot};

use crate::workers::{Obedient, Place, Plain, success, until_stopped};

const SOON: Duration = Duration::from_secs(20);

/// Agents run for hours: an operator who gives a queue more slots does not wait for one of them to end.
#[tokio::test]
async fn a_queue_whose_slots_are_all_taken_learns_that_it_has_more() {
    let place = Place::new().await;
    for _ in 0..3 {
        Plain::new("x").insert(&place.queue).await.expect("valid");
    }
    let (started, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (starts, end) = (Arc::clone(&started), Arc::clone(&go));
    let claude = move |_: Request| {
        let (starts, end) = (Arc::clone(&starts), Arc::clone(&end));
        async move {
            starts.add_permits(1);
            end.acquire().await.expect("open").forget();
            Ok::<_, RunnerError>(success("done"))
        }
    };
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(claude);
    let draining = tokio::spawn(runtime.drain());
    started.acquire().await.expect("open").forget();
    place.queue.scale("tests", Some(2)).await.expect("a write");
    let second = tokio::time::timeout(Duration::from_secs(10), started.acquire()).await;
    second.expect("the second runs beside the first").expect("open").forget();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(started.available_permits(), 0, "two at once, not three");
    go.add_permits(3);
    draining.await.expect("no panic").expect("it drains");
}

/// A handler waits for somebody who never answers. Neither the end of the runtime nor a cancellation waits with it, and
/// what is paid for stays known.
#[tokio::test]
async fn a_handler_that_does_not_end_is_given_up() {
    let place = Place::new().await;
    let claude = |_: Request| async { Ok::<_, RunnerError>(success("done")) };
    let mut jobs = Vec::new();
    for order in ["hang", "hang", "wait for the end"] {
        jobs.push(Obedient::new(order.into()).insert(&place.queue).await.expect("valid"));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 3).claude(claude);
    let runtime = tokio::spawn(
        runtime.grace(Duration::from_millis(100)).run_until(async { stopped.await.unwrap_or(()) }),
    );
    let state = async |job: &claude_jobs::Inserted| place.job(job).await.state;
    let until = async |job: &claude_jobs::Inserted, wanted| {
        while state(job).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for job in &jobs {
        until(job, State::Executing).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    place.queue.cancel(jobs[0].id()).await.expect("it runs");
    tokio::time::timeout(SOON, until(&jobs[0], State::Cancelled)).await.expect("it is cancelled");
    assert_eq!(state(&jobs[1]).await, State::Executing, "nobody has asked it to end");
    drop(stop);
    tokio::time::timeout(SOON, runtime).await.expect("it ends").expect("no panic").expect("it runs");
    let again = "given back: the runtime shut down before its handler had ended";
    for (job, expected, reason) in [
        (0, State::Cancelled, Some("cancelled on request")),
        (1, State::Available, Some(again)),
        (2, State::Completed, None),
    ] {
        let details = place.queue.details(jobs[job].id()).await.expect("there");
        assert_eq!((details.job.state, details.job.reason.as_deref()), (expected, reason));
        let run = &details.runs[0];
        assert_eq!((run.outcome.as_str(), run.result.as_deref()), ("success", Some("done")), "{run:?}");
    }
}

/// That a run's time is over does not hurry its handler.
#[tokio::test]
async fn after_a_timeout_the_handler_is_not_asked_to_end() {
    let place = Place::new().await;
    let job = Obedient::new("look".into()).timeout(Duration::from_millis(50));
    let job = job.insert(&place.queue).await.expect("valid");
    place.drain(until_stopped).await;
    let stored = place.job(&job).await;
    assert_eq!((stored.state, stored.reason.as_deref()), (State::Cancelled, Some("asked to end: false")));
}

#[tokio::test]
async fn jobs_are_not_removed_while_they_keep_others_out() {
    let place = Place::new().await;
    let start = async |keep| {
        let runtime = Runtime::builder(place.queue.clone())
            .queue("tests", 1)
            .claude(|_: Request| async { Ok::<_, RunnerError>(success("x")) });
        runtime.prune(keep).drain().await.map_err(|error| error.to_string())
    };
    let error = start(Retention::default().completed(Duration::from_secs(9))).await.expect_err("too short");
    assert!(
        error.contains("` is unique for ") && error.contains("completed jobs are to be removed after 9s"),
        "{error}"
    );
    let keep = Retention::default().completed(365 * Retention::DAY).cancelled(Duration::ZERO);
    assert_eq!(start(keep).await, Ok(()));
}

/// Under such a lease each run would be asked to end as soon as it has begun, for ever.
#[tokio::test]
async fn a_lease_that_is_too_short_for_runs_to_end_is_refused() {
    let place = Place::new().await;
    let start = async |grace, lease| {
        let claude = ClaudeCli::builder().grace(grace).build();
        let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(claude).lease(lease);
        runtime.drain().await.map_err(|error| error.to_string())
    };
    let seconds = Duration::from_secs;
    assert_eq!(start(seconds(33), seconds(60)).await, Ok(()));
    let error = start(seconds(60), seconds(60)).await.expect_err("too short");
    assert!(
        error.contains("a lease of 60s is too short for runs that may take 60s to end: give at least 107 s"),
        "{error}"
    );
    let error = start(seconds(1), seconds(2)).await.expect_err("too short");
    assert!(error.contains("a lease of 2s: give at least 12s, at most 30 days"), "{error}");
}
