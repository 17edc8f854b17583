//! Faults of the account: an expired login, a usage limit. One job tries it again, the others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::jiff::Timestamp;
use claude_jobs::outcome::{FailureKind, Report};
use claude_jobs::prelude::*;
use serde_json::json;

use super::{SOON, all, all_completed, count, insert, serve, states, until};
use crate::workers::{Place, recorded, success, until_stopped};

/// A runner whose account is not well until it is said to be; it counts its runs.
fn ailing(
    answer: impl Fn() -> Report + Send + Sync + Clone + 'static,
) -> (impl Claude + Clone + 'static, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (is_well, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (well, counted) = (Arc::clone(&is_well), Arc::clone(&runs));
    let claude = move |_: Request| {
        let (is_well, answer) = (well.load(Ordering::SeqCst), answer.clone());
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, RunnerError>(if is_well { success("done") } else { answer() })
        }
    };
    (claude, is_well, runs)
}

#[tokio::test]
async fn an_expired_login_cancels_no_more_than_were_running() {
    let place = Place::new().await;
    insert(&place, 500).await;
    let (claude, is_well, runs) = ailing(|| recorded("oauth_expired"));
    let nodes = [serve(&place, 4, claude.clone()), serve(&place, 4, claude)];
    // How many run before the first has met the fault is chance. Those after them are trials, and cancel nothing.
    let is_tried_again = |jobs: &[Job]| {
        let cancelled = count(jobs, State::Cancelled);
        cancelled > 0 && runs.load(Ordering::SeqCst) >= cancelled + 2
    };
    until(&place, "tried again", is_tried_again).await;
    let blocked = place.queue.blocked().await.expect("a read");
    assert!(blocked[0].reason.starts_with("authentication: "), "{blocked:?}");
    is_well.store(true, Ordering::SeqCst);
    let are_over = |jobs: &[Job]| count(jobs, State::Completed) + count(jobs, State::Cancelled) == 500;
    until(&place, "all others completed", are_over).await;
    let cancelled = count(&all(&place).await, State::Cancelled);
    assert!((1..=8).contains(&cancelled), "{cancelled}");
    // What was cancelled is brought back by the kind of its reason.
    let found = place.queue.ended_with(FailureKind::Authentication, Some(SOON)).await.expect("a read");
    assert_eq!(found.len(), cancelled);
    assert!(place.queue.ended_with(FailureKind::Billing, None).await.expect("a read").is_empty());
    place.queue.retry_where(FailureKind::Authentication, None).await.expect("a write");
    until(&place, "all completed", all_completed).await;
    for node in nodes {
        node.ended().await;
    }
}

/// What a trial has done is not done again: it has met the fault as any other job.
#[tokio::test]
async fn a_trial_that_has_worked_is_cancelled_as_any_other() {
    let place = Place::new().await;
    insert(&place, 2).await;
    let (claude, is_well, runs) = ailing(|| {
        let mut report = recorded("oauth_expired");
        report.worked = true;
        report
    });
    let node = serve(&place, 1, claude);
    until(&place, "cancelled", |jobs| count(jobs, State::Cancelled) == 2).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    is_well.store(true, Ordering::SeqCst);
    node.ended().await;
}

/// Others of the account need not wait until its trial is over by the clock.
#[tokio::test]
async fn a_node_that_ends_leaves_its_trial_to_others() {
    let place = Place::new().await;
    insert(&place, 1).await;
    let (claude, _, runs) = ailing(|| recorded("oauth_expired"));
    let claude = move |request: Request| {
        let (claude, is_trial) = (claude.clone(), runs.load(Ordering::SeqCst) > 0);
        async move { if is_trial { until_stopped(request).await } else { claude.run(request).await } }
    };
    let node = serve(&place, 1, claude);
    until(&place, "cancelled", |jobs| count(jobs, State::Cancelled) == 1).await;
    insert(&place, 1).await;
    until(&place, "tried", |jobs| count(jobs, State::Executing) == 1).await;
    let trial = async || {
        let query = sqlx::query_scalar::<_, Option<String>>("SELECT trial_node FROM claude_jobs_accounts");
        query.fetch_one(&mut place.connection().await).await.expect("claims are stopped")
    };
    assert!(trial().await.is_some());
    node.ended().await;
    assert_eq!(trial().await, None);
}

/// A refusal for a usage limit as the CLI prints it.
fn limited(resets_at: Option<i64>) -> Report {
    let text = "You've hit your session limit";
    let mut events = vec![
        json!({"type": "assistant", "is_api_error_message": true, "error": "rate_limit",
            "api_error": "usage_limit_reached", "message": {"content": [{"type": "text", "text": text}]}}),
        json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": 429,
            "terminal_reason": "api_error", "api_error": "usage_limit_reached", "result": text, "num_turns": 1}),
    ];
    if let Some(resets_at) = resets_at {
        let info = json!({"status": "rejected", "resetsAt": resets_at, "rateLimitType": "five_hour"});
        events.insert(0, json!({"type": "rate_limit_event", "rate_limit_info": info}));
    }
    Report::from_events(events.iter(), 1)
}

#[tokio::test]
async fn a_limit_with_a_near_reset_is_tried_by_one_job_and_costs_none_an_attempt() {
    let place = Place::new().await;
    insert(&place, 12).await;
    let reset = Timestamp::now().as_second() + 2;
    let (claude, is_well, runs) = ailing(move || limited(Some(reset)));
    let node = serve(&place, 3, claude);
    until(&place, "refused once more after the reset", |_| runs.load(Ordering::SeqCst) >= 4).await;
    is_well.store(true, Ordering::SeqCst);
    until(&place, "all completed", all_completed).await;
    let jobs = all(&place).await;
    assert!(jobs.iter().all(|job| (job.counted_attempts(), job.snoozes) == (1, 0)), "{jobs:?}");
    // The first three, the trial, and each job once.
    assert!(runs.load(Ordering::SeqCst) <= 4 + 12, "{runs:?}");
    node.ended().await;
}

#[tokio::test]
async fn a_limit_whose_reset_is_over_stops_claims_for_a_minute() {
    let place = Place::new().await;
    insert(&place, 5).await;
    let reset = Timestamp::now().as_second() - 5;
    let (claude, _, runs) = ailing(move || limited(Some(reset)));
    place.drain(claude).await;
    let jobs = all(&place).await;
    let waits = jobs.iter().filter(|job| matches!(job.state, State::Scheduled | State::Available)).count();
    assert_eq!(waits, 5, "{:?}", states(&jobs));
    assert!(jobs.iter().all(|job| (job.counted_attempts(), job.snoozes) == (0, 0)), "{jobs:?}");
    assert!(runs.load(Ordering::SeqCst) <= 4, "one for each slot: {runs:?}");
    let blocked = place.queue.blocked().await.expect("a read");
    let rest = blocked[0].until.expect("it is known").as_second() - Timestamp::now().as_second();
    assert!((50..=66).contains(&rest), "{blocked:?}");
    // An operator who knows better.
    place.queue.resume("tests").await.expect("a write");
    assert!(place.queue.blocked().await.expect("a read").is_empty());
}
