//! Verdicts worked out: each transition, and the numbers of the formulas.

use serde_json::json;

use super::*;
use crate::definition::Definition;
use crate::job::{JobId, NewJob, Schedule};

const NOW: i64 = 1_800_000_000_000_000;

fn now() -> Timestamp {
    crate::clock::timestamp(NOW)
}

fn in_seconds(seconds: i64) -> Timestamp {
    crate::clock::timestamp(NOW + seconds * 1_000_000)
}

/// A job on its `attempt`-th run, of which `uncounted` before did not count.
fn job(attempt: u32, uncounted: u32, max_attempts: u32) -> Job {
    const DEFINITION: Definition = Definition::new("worker", "queue");
    let mut new = NewJob::new("worker", json!({}));
    new.args.set("prompt", json!("hello"));
    new.max_attempts = Some(max_attempts);
    new.schedule = Schedule::Now;
    let row = new.into_row(&DEFINITION, &crate::untrusted::Values::default(), now()).expect("valid");
    Job { attempt, uncounted, state: State::Executing, attempted_at: Some(now()), ..row.stored_as(JobId(7)) }
}

fn remains(job: &Job) -> Remains {
    Remains::of(RunRow {
        attempt: job.attempt,
        node: None,
        started_at: now(),
        finished_at: now(),
        session_id: None,
        outcome: "success".into(),
        verdict: "complete".into(),
        ending: "exit 0".into(),
        cost_usd: None,
        turns: None,
        tokens: None,
        model: None,
        cli_version: None,
        result: None,
        structured: None,
        last_events: Vec::new(),
        environment: Default::default(),
    })
}

fn settle(verdict: &Verdict, job: &Job) -> Settlement {
    Settlement::of(verdict, job, backoff, remains(job), now())
}

#[test]
fn complete_and_cancel_are_final() {
    let done = settle(&Verdict::Complete, &job(1, 0, 3));
    assert_eq!((done.state, done.finished_at, done.reason), (State::Completed, Some(now()), None));
    let cancelled = settle(&Verdict::cancel("no"), &job(1, 0, 3));
    assert_eq!((cancelled.state, cancelled.reason.as_deref()), (State::Cancelled, Some("no")));
    assert_eq!(cancelled.finished_at, Some(now()));
}

#[test]
fn a_retry_counts_and_the_last_one_discards() {
    let again = settle(&Verdict::retry("x"), &job(2, 0, 3));
    assert_eq!((again.state, again.uncounted, again.finished_at), (State::Retryable, false, None));
    let last = settle(&Verdict::retry("x"), &job(3, 0, 3));
    assert_eq!((last.state, last.finished_at), (State::Discarded, Some(now())));
    // Three runs, one of which did not count.
    assert_eq!(settle(&Verdict::retry("x"), &job(3, 1, 3)).state, State::Retryable);
}

#[test]
fn backoff_doubles_to_an_hour_and_is_spread_by_a_tenth() {
    let expected = [(1, 15), (2, 30), (3, 60), (8, 1_920), (9, 3_600), (1_000, 3_600)];
    for (attempt, seconds) in expected {
        assert_eq!(backoff(attempt), Duration::from_secs(seconds), "{attempt}");
    }
    let mut delays = std::collections::HashSet::new();
    for id in 0..200 {
        let job = Job { id: JobId(id), ..job(3, 0, 9) };
        let at = settle(&Verdict::retry("x"), &job).scheduled_at;
        assert!((in_seconds(54)..=in_seconds(66)).contains(&at), "{at}");
        delays.insert(at);
    }
    assert!(delays.len() > 190, "the spread spreads: {}", delays.len());
}

#[test]
fn a_backoff_that_panics_is_the_default() {
    let job = job(40, 0, 90);
    let too_much = |attempt: u32| Duration::from_secs(60) * 2u32.pow(attempt);
    let retried =
        |backoff| Settlement::of(&Verdict::retry("x"), &job, backoff, remains(&job), now()).scheduled_at;
    assert_eq!(retried(too_much), retried(backoff));
}

#[test]
fn retry_after_is_the_least_wait() {
    let wait = Duration::from_secs(60);
    let at = |attempt| settle(&Verdict::retry_after(wait, "x"), &job(attempt, 0, 20)).scheduled_at;
    assert_eq!(at(1), in_seconds(60));
    assert!(at(8) > in_seconds(1_700));
}

#[test]
fn a_snooze_does_not_count_until_the_snoozes_are_used_up() {
    let snooze = Verdict::snooze(Duration::from_secs(30), "timeout");
    let fresh = job(1, 0, 3);
    let snoozed = settle(&snooze, &fresh);
    assert_eq!((snoozed.state, snoozed.scheduled_at), (State::Scheduled, in_seconds(30)));
    assert!(snoozed.uncounted && snoozed.snoozed);

    let used_up = Job { snoozes: 3, ..job(4, 3, 3) };
    let counted = settle(&snooze, &used_up);
    assert_eq!((counted.state, counted.uncounted, counted.snoozed), (State::Retryable, false, false));
    assert!(counted.scheduled_at >= in_seconds(30));
    assert!(counted.reason.is_some_and(|reason| reason.contains("all 3 snoozes used")));

    let reset = in_seconds(7_200);
    assert_eq!(settle(&Verdict::snooze_until(reset, "limit"), &fresh).scheduled_at, reset);
    let past = in_seconds(-5);
    assert_eq!(settle(&Verdict::snooze_until(past, "limit"), &fresh).scheduled_at, now());
}

#[test]
fn a_job_given_back_is_claimable_and_does_not_count() {
    let job = job(1, 0, 1);
    let back = Settlement::given_back("the runtime shut down", &job, remains(&job), now());
    assert_eq!((back.state, back.scheduled_at, back.uncounted), (State::Available, now(), true));
}
