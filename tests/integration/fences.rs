//! What a settlement may and may not change: the row meanwhile changed by others, unique keys, pauses,
//! the order and the bounds of claims.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::notice::Notice;
use claude_jobs::prelude::*;
use claude_jobs::unique::Unique;
use sqlx::{Connection, Executor};

use crate::workers::{Obedient, Place, Plain, answering, recorded, success};

/// A runner that lets somebody else change the database during the run, and then answers.
fn meanwhile(place: &Place, sql: &'static str, scenario: &'static str) -> impl Claude + 'static {
    let url = place.url();
    move |_: Request| {
        let url = url.clone();
        async move {
            sqlx::SqliteConnection::connect(&url).await?.execute(sql).await?;
            Ok::<_, RunnerError>(if scenario.is_empty() { success("done") } else { recorded(scenario) })
        }
    }
}

/// Runs until the first settlement, and says whether it was written.
async fn first_settlement(place: &Place, claude: impl Claude + 'static) -> bool {
    let (sender, settled) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let running = Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .claude(claude)
        .on_notice(move |notice| {
            if let Notice::Settled { is_ours, .. } = notice
                && let Some(sender) = sender.lock().expect("no panic").take()
            {
                sender.send(*is_ours).expect("somebody waits");
            }
        })
        .run_until(async { ended.await.expect("it settles") });
    let watching = async {
        let is_ours = settled.await.expect("it settles");
        end.send(()).expect("the runtime waits for it");
        is_ours
    };
    let (result, is_ours) = tokio::join!(running, watching);
    result.expect("it runs");
    is_ours
}

/// The attempt is the same, but the job was taken back: it waits, and this run's word no longer counts.
#[tokio::test]
async fn a_job_that_was_taken_back_is_not_settled_by_its_old_run() {
    let place = Place::new().await;
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    let later = "UPDATE claude_jobs SET state = 'retryable', node = NULL, scheduled_at = 4102444800000000";
    assert!(!first_settlement(&place, meanwhile(&place, later, "")).await);
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.runs.len()), (State::Retryable, 0));
}

#[tokio::test]
async fn a_job_that_was_done_before_its_cancellation_is_done() {
    let place = Place::new().await;
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    place.drain(meanwhile(&place, "UPDATE claude_jobs SET cancel_requested = 1", "")).await;
    let job = place.job(&job).await;
    assert_eq!((job.state, job.cancel_requested, job.reason), (State::Completed, false, None));
}

#[tokio::test]
async fn a_job_that_would_wait_again_is_cancelled_if_somebody_asked_for_it() {
    let place = Place::new().await;
    let states = [State::Scheduled, State::Available, State::Executing, State::Retryable];
    let new = || Plain::new("x").unique(Unique::forever().states(states.iter().copied()));
    let job = new().insert(&place.queue).await.expect("valid");
    place.drain(meanwhile(&place, "UPDATE claude_jobs SET cancel_requested = 1", "overloaded")).await;
    let job = place.job(&job).await;
    assert_eq!(
        (job.state, job.reason.as_deref(), job.cancel_requested),
        (State::Cancelled, Some("cancelled on request"), false)
    );
    assert!(job.finished_at.is_some());
    let again = new().insert(&place.queue).await.expect("valid");
    assert!(!again.duplicate, "`cancelled` is not among its unique states");
}

/// Each state that a unique job does not count in releases its key when the job enters it.
#[tokio::test]
async fn a_key_is_released_at_each_transition() {
    let waiting = [State::Scheduled, State::Available];
    let table: [(&[State], bool, bool); 4] = [
        (&[], false, false),
        (&[State::Executing], true, false),
        (&[State::Executing, State::Completed], true, true),
        (&[State::Executing, State::Retryable, State::Discarded], true, false),
    ];
    for (others, while_running, afterwards) in table {
        let place = Place::new().await;
        let unique = Unique::forever().states([&waiting, others].concat());
        let new = {
            let unique = unique.clone();
            move || Plain::new("x").queue("elsewhere").unique(unique.clone())
        };
        new().insert(&place.queue).await.expect("valid");
        let seen = Arc::new(Mutex::new(None));
        let (queue, noted, same) = (place.queue.clone(), Arc::clone(&seen), new.clone());
        let claude = move |_: Request| {
            let (queue, noted, same) = (queue.clone(), Arc::clone(&noted), same.clone());
            async move {
                if noted.lock().expect("no panic").is_none() {
                    let again = same().schedule_in(Duration::from_secs(60)).insert(&queue).await?;
                    if !again.duplicate {
                        queue.delete(again.id()).await?;
                    }
                    *noted.lock().expect("no panic") = Some(again.duplicate);
                }
                Ok::<_, RunnerError>(success("done"))
            }
        };
        Runtime::builder(place.queue.clone())
            .queue("elsewhere", 1)
            .claude(claude)
            .drain()
            .await
            .expect("it drains");
        assert_eq!(*seen.lock().expect("no panic"), Some(while_running), "{others:?}");
        assert_eq!(new().insert(&place.queue).await.expect("valid").duplicate, afterwards, "{others:?}");
    }
}

#[tokio::test]
async fn a_job_waits_for_its_own_time_whatever_else_is_due() {
    let place = Place::new().await;
    let later = Plain::new("later").schedule_in(Duration::from_secs(3_600)).insert(&place.queue).await;
    Plain::new("now").insert(&place.queue).await.expect("valid");
    place.drain(answering("success").0).await;
    assert_eq!(place.job(&later.expect("valid")).await.state, State::Scheduled);
}

/// Jobs that are claimed together start in order: priority, then due time, then id.
#[tokio::test]
async fn jobs_claimed_together_start_in_order() {
    let place = Place::new().await;
    let clock = Clock::manual(jiff::Timestamp::now());
    let place = Place { queue: place.queue.clone().with_clock(clock.clone()), ..place };
    for (order, priority, seconds) in [("e", 5, 0), ("c", 0, 20), ("d", 0, 20), ("b", 0, 10)] {
        let job = Obedient::new(order.into()).priority(priority).schedule_in(Duration::from_secs(seconds));
        job.insert(&place.queue).await.expect("valid");
    }
    clock.advance(Duration::from_secs(60));
    Obedient::new("f".into()).priority(9).insert(&place.queue).await.expect("valid");
    let urgent = Obedient::new("a".into()).schedule_at(jiff::Timestamp::UNIX_EPOCH);
    urgent.insert(&place.queue).await.expect("valid");
    sqlx::query("UPDATE claude_jobs SET scheduled_at = 0 WHERE priority = 0 AND state = 'available'")
        .execute(&mut place.connection().await)
        .await
        .expect("long due");
    for concurrency in [1, 9] {
        let started = Arc::new(Mutex::new(String::new()));
        let noted = Arc::clone(&started);
        Runtime::builder(place.queue.clone())
            .queue("tests", concurrency)
            .claude(|_: Request| async { Ok::<_, RunnerError>(success("done")) })
            .on_notice(move |notice| {
                if let Notice::Started { job } = notice {
                    noted.lock().expect("no panic").push_str(job.input["order"].as_str().expect("text"));
                }
            })
            .drain()
            .await
            .expect("it drains");
        assert_eq!(*started.lock().expect("no panic"), "abcdef", "{concurrency} at once");
        place
            .connection()
            .await
            .execute("UPDATE claude_jobs SET state = 'available', attempt = 0")
            .await
            .expect("once more");
    }
}
