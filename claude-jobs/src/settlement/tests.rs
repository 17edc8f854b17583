//! What becomes of a job, in every case.

use serde_json::json;

use super::*;
use crate::definition::{Definition, OnLost, RetryFrom};
use crate::job::{JobId, NewJob, Schedule, Session};
use crate::outcome::FailureKind;
use crate::verdict::Verdict;
use std::time::Duration;

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
        verdict: String::new(),
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

fn judged(verdict: &Verdict, job: &Job) -> Settlement {
    ended(job, Policy::default(), &Seen::default(), Cause::Judged(verdict.clone()))
}

fn ended(job: &Job, policy: Policy, seen: &Seen, cause: Cause) -> Settlement {
    decide(job, &policy, seen, cause, remains(job), now())
}

/// The session that this attempt has had.
fn session() -> Option<Session> {
    Some(Session { host: Some("here".into()), ..Session::new("own") })
}

/// It had begun: a request was made.
fn begun() -> Seen {
    Seen { begun: true, session: session(), ..Seen::default() }
}

/// It was at work when it failed.
fn failed(kind: FailureKind) -> Seen {
    Seen { worked: true, failed: Some(kind), ..begun() }
}

#[test]
fn complete_and_cancel_are_final() {
    let done = judged(&Verdict::Complete, &job(1, 0, 3));
    assert_eq!((done.state, done.finished_at, done.reason), (State::Completed, Some(now()), None));
    assert_eq!(done.run.verdict, "complete");
    let cancelled = judged(&Verdict::cancel("no"), &job(1, 0, 3));
    assert_eq!((cancelled.state, cancelled.reason.as_deref()), (State::Cancelled, Some("no")));
    assert_eq!(cancelled.finished_at, Some(now()));
}

#[test]
fn a_retry_counts_and_the_last_one_discards() {
    let again = judged(&Verdict::retry("x"), &job(2, 0, 3));
    assert_eq!((again.state, again.uncounted, again.finished_at), (State::Retryable, 0, None));
    let last = judged(&Verdict::retry("x"), &job(3, 0, 3));
    assert_eq!((last.state, last.finished_at), (State::Discarded, Some(now())));
    // Three runs, one of which did not count.
    assert_eq!(judged(&Verdict::retry("x"), &job(3, 1, 3)).state, State::Retryable);
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
        let at = judged(&Verdict::retry("x"), &job).scheduled_at;
        assert!((in_seconds(54)..=in_seconds(66)).contains(&at), "{at}");
        delays.insert(at);
    }
    assert!(delays.len() > 190, "the spread spreads: {}", delays.len());
}

#[test]
fn a_backoff_that_panics_is_the_default() {
    let job = job(40, 0, 90);
    let too_much = |attempt: u32| Duration::from_secs(60) * 2u32.pow(attempt);
    let retried = |backoff| {
        let policy = Policy { backoff, ..Policy::default() };
        ended(&job, policy, &Seen::default(), Cause::Judged(Verdict::retry("x"))).scheduled_at
    };
    assert_eq!(retried(too_much), retried(backoff));
}

#[test]
fn retry_after_is_the_least_wait() {
    let wait = Duration::from_secs(60);
    let at = |attempt| judged(&Verdict::retry_after(wait, "x"), &job(attempt, 0, 20)).scheduled_at;
    assert_eq!(at(1), in_seconds(60));
    assert!(at(8) > in_seconds(1_700));
}

#[test]
fn a_snooze_does_not_count_until_the_snoozes_are_used_up() {
    let snooze = Verdict::snooze(Duration::from_secs(30), "timeout");
    let fresh = job(1, 0, 3);
    let snoozed = judged(&snooze, &fresh);
    assert_eq!((snoozed.state, snoozed.scheduled_at), (State::Scheduled, in_seconds(30)));
    assert!(snoozed.uncounted == 1 && snoozed.snoozed);

    let used_up = Job { snoozes: 3, ..job(4, 3, 3) };
    let counted = judged(&snooze, &used_up);
    assert_eq!((counted.state, counted.uncounted, counted.snoozed), (State::Retryable, 0, false));
    assert!(counted.scheduled_at >= in_seconds(30));
    assert!(counted.reason.is_some_and(|reason| reason.contains("all 3 snoozes used")));

    let reset = in_seconds(600);
    assert_eq!(judged(&Verdict::snooze_until(reset, "limit"), &fresh).scheduled_at, reset);
    let past = in_seconds(-600);
    assert_eq!(judged(&Verdict::snooze_until(past, "limit"), &fresh).scheduled_at, now());
}

/// The table of the module, and of the lifecycle guide.
#[test]
fn an_interrupted_attempt_goes_by_what_was_seen_of_it_and_on_lost() {
    let (fresh, last) = (job(1, 0, 3), job(1, 0, 1));
    let interrupted = |job: &Job, on_lost, seen: &Seen| {
        let policy = Policy { on_lost, ..Policy::default() };
        let new = ended(job, policy, seen, Cause::Interrupted(LOST.to_owned()));
        let session = new.continuation.session.map(|session| (session.id, session.uncounted));
        (new.state, new.uncounted, new.run.verdict, session)
    };
    let own = || Some(("own".to_owned(), true));
    let verdict = str::to_owned;
    let no_session = Seen { session: None, ..begun() };
    use OnLost::{Cancel, Hold, Resume, Retry};
    for on_lost in [Resume, Retry, Hold, Cancel] {
        let back = (State::Available, 1, verdict("give back"), None);
        assert_eq!(interrupted(&last, on_lost, &Seen::default()), back, "{on_lost:?}: not begun");
    }
    for job in [&fresh, &last] {
        assert_eq!(interrupted(job, Resume, &begun()), (State::Available, 1, verdict("resume"), own()));
        assert_eq!(interrupted(job, Hold, &begun()), (State::Discarded, 0, verdict("hold"), None));
        assert_eq!(interrupted(job, Cancel, &begun()), (State::Cancelled, 0, verdict("cancel"), None));
    }
    for (on_lost, seen) in [(Retry, begun()), (Resume, no_session)] {
        assert_eq!(interrupted(&fresh, on_lost, &seen), (State::Retryable, 0, verdict("retry"), None));
        assert_eq!(interrupted(&last, on_lost, &seen), (State::Discarded, 0, verdict("retry"), None));
    }
}

#[test]
fn interruptions_are_uncounted_up_to_a_number_and_then_count() {
    let mut now_at = job(1, 0, 1);
    for interruptions in 1..=5 {
        let new = ended(&now_at, Policy::default(), &begun(), Cause::Interrupted(LOST.to_owned()));
        assert_eq!((new.state, new.uncounted), (State::Available, 1));
        assert_eq!(new.continuation.interruptions, interruptions);
        now_at = Job {
            attempt: now_at.attempt + 1,
            uncounted: now_at.uncounted + 1,
            continuation: new.continuation,
            ..now_at
        };
    }
    let sixth = ended(&now_at, Policy::default(), &begun(), Cause::Interrupted(LOST.to_owned()));
    assert_eq!((sixth.state, sixth.uncounted), (State::Discarded, 0), "its only attempt");
    assert_eq!(sixth.reason.as_deref(), Some("lost: the node that ran it died (interrupted 5 times before)"));
    let more = Job { max_attempts: 2, ..now_at };
    let sixth = ended(&more, Policy::default(), &begun(), Cause::Interrupted(LOST.to_owned()));
    assert_eq!((sixth.state, sixth.uncounted), (State::Retryable, 0));
    assert!(sixth.continuation.session.is_some_and(|session| !session.uncounted), "still in its session");
}

#[test]
fn what_was_given_back_is_as_it_was() {
    let continuation = Continuation {
        session: Some(Session { uncounted: true, ..Session::new("before") }),
        interruptions: 2,
        ..Continuation::default()
    };
    let job = Job { continuation: continuation.clone(), ..job(3, 2, 1) };
    for cause in [Cause::Interrupted(LOST.to_owned()), Cause::NotStarted("no room".into())] {
        let back = ended(&job, Policy::default(), &Seen::default(), cause);
        assert_eq!((back.state, back.scheduled_at, back.uncounted), (State::Available, now(), 1));
        assert_eq!(back.continuation, continuation);
        assert!(back.reason.is_some_and(|reason| reason.starts_with("given back: ")));
    }
}

/// An interrupted attempt whose session is nowhere counts after all: a job with one attempt never starts twice.
#[test]
fn what_cannot_be_continued_counts() {
    let session = Some(Session { uncounted: true, ..Session::new("gone") });
    let continuation = Continuation { session, interruptions: 1, ..Continuation::default() };
    let job = |max_attempts| Job { continuation: continuation.clone(), ..job(2, 1, max_attempts) };
    let anew = Seen { anew: true, ..Seen::default() };
    let held = ended(&job(1), Policy::default(), &anew, Cause::OutOfReach);
    assert_eq!((held.state, held.uncounted, &*held.run.verdict), (State::Discarded, -1, "hold"));
    assert!(held.reason.is_some_and(|reason| reason.starts_with("lost: ") && reason.contains("`gone`")));

    let anew = Seen { anew: true, ..failed(FailureKind::ResultError) };
    let second = ended(&job(2), Policy::default(), &anew, Cause::Judged(Verdict::retry("x")));
    assert_eq!((second.state, second.uncounted), (State::Discarded, -1), "two of two");
    let third = ended(&job(3), Policy::default(), &anew, Cause::Judged(Verdict::retry("x")));
    assert_eq!((third.state, third.uncounted), (State::Retryable, -1));
    let anew = Seen { anew: true, ..begun() };
    let again = ended(&job(3), Policy::default(), &anew, Cause::Interrupted(LOST.to_owned()));
    assert_eq!((again.state, again.uncounted), (State::Available, 0), "one more, and this one not");
    assert_eq!(again.continuation.session.map(|session| session.id).as_deref(), Some("own"));
}

#[test]
fn a_transient_failure_of_a_run_that_had_begun_goes_on_in_its_session() {
    use FailureKind as Kind;
    let goes_on = |policy, job: &Job, seen: &Seen, verdict: Verdict| {
        let new = ended(job, policy, seen, Cause::Judged(verdict));
        new.continuation.session.map(|session| session.id)
    };
    let retry = || Verdict::retry("x");
    let own = || Some("own".to_owned());
    let fresh = job(1, 0, 3);
    for kind in FailureKind::ALL {
        let transient = matches!(
            kind,
            Kind::Timeout
                | Kind::IdleTimeout
                | Kind::ToolTimeout
                | Kind::UsageLimit
                | Kind::RateLimit
                | Kind::Overloaded
                | Kind::ServerError
                | Kind::Connection
                | Kind::RequestTimeout
                | Kind::MalformedResponse
                | Kind::Interrupted
                | Kind::Killed
                | Kind::Crashed
                | Kind::Io
                | Kind::CommandFailed
                | Kind::Lost
        );
        let seen = failed(*kind);
        assert_eq!(goes_on(Policy::default(), &fresh, &seen, retry()).is_some(), transient, "{kind:?}");
        let from_start = Policy { retry_from: RetryFrom::Start, ..Policy::default() };
        assert_eq!(goes_on(from_start, &fresh, &seen, retry()), None, "{kind:?}");
    }
    // The first request was refused: there is nothing to go on with, so that any node may take it.
    let refused = Seen { worked: false, ..failed(Kind::Overloaded) };
    assert_eq!(goes_on(Policy::default(), &fresh, &refused, retry()), None);
    let cut_off = Seen { worked: false, ..failed(Kind::Timeout) };
    assert_eq!(goes_on(Policy::default(), &fresh, &cut_off, retry()), own(), "a request was under way");
    // Unless it was to go on with something.
    let continuation = Continuation { session: Some(Session::new("before")), ..Continuation::default() };
    let continues = Job { continuation, ..job(2, 0, 3) };
    let before = Some("before".to_owned());
    assert_eq!(goes_on(Policy::default(), &continues, &refused, retry()), before);
    let anew = Seen { anew: true, ..refused };
    assert_eq!(goes_on(Policy::default(), &continues, &anew, retry()), None);
    // A success that shall run again does so from its start: the handler has decided that.
    assert_eq!(goes_on(Policy::default(), &continues, &begun(), retry()), None);
}

/// Uncounted, a run that had begun never starts again from the beginning.
#[test]
fn a_snooze_of_a_run_that_had_begun_continues_or_counts() {
    let last = job(1, 0, 1);
    let snooze = Verdict::snooze(Duration::from_secs(30), "timeout");
    let on = |policy, seen: &Seen| {
        let new = ended(&last, policy, seen, Cause::Judged(snooze.clone()));
        (new.state, new.snoozed, new.continuation.session.is_some())
    };
    let timeout = failed(FailureKind::Timeout);
    assert_eq!(on(Policy::default(), &timeout), (State::Scheduled, true, true));
    let from_start = Policy { retry_from: RetryFrom::Start, ..Policy::default() };
    assert_eq!(on(from_start, &timeout), (State::Discarded, false, false));
    let no_session = Seen { session: None, ..timeout };
    assert_eq!(on(Policy::default(), &no_session), (State::Discarded, false, false));
    let polls = Seen { failed: None, ..begun() };
    assert_eq!(on(Policy::default(), &polls), (State::Scheduled, true, false), "its handler wants it so");
}

#[test]
fn a_usage_limit_uses_neither_attempts_nor_snoozes() {
    let seen = Seen { worked: false, ..failed(FailureKind::UsageLimit) };
    let used_up = Job { snoozes: 3, ..job(9, 8, 1) };
    let snooze = Verdict::snooze_until(in_seconds(3_600), "usage_limit: x");
    let new = ended(&used_up, Policy::default(), &seen, Cause::Judged(snooze));
    assert_eq!((new.state, new.scheduled_at), (State::Scheduled, in_seconds(3_600)));
    assert_eq!((new.uncounted, new.snoozed), (1, false));
}

#[test]
fn a_verdict_to_resume_goes_on_in_the_session_and_counts() {
    let resume = || Cause::Judged(Verdict::resume("and now?"));
    let seen = failed(FailureKind::MaxTurns);
    let on = ended(&job(1, 0, 2), Policy::default(), &seen, resume());
    assert_eq!((on.state, on.uncounted, on.scheduled_at), (State::Retryable, 0, now()));
    let session = on.continuation.session.expect("it goes on");
    assert_eq!(
        (&*session.id, session.prompt.as_deref(), session.uncounted),
        ("own", Some("and now?"), false)
    );
    assert_eq!(ended(&job(2, 0, 2), Policy::default(), &seen, resume()).state, State::Discarded);
    let none = ended(&job(1, 0, 2), Policy::default(), &Seen::default(), resume());
    assert_eq!(none.state, State::Cancelled, "there is nothing to go on in");
}

#[test]
fn a_failed_handler_runs_again_alone_and_is_given_up_in_the_end() {
    let mut now_at = job(1, 0, 1);
    for failed in 1..=4 {
        let seen = Seen { only_handler: failed > 1, ..begun() };
        let new = ended(&now_at, Policy::default(), &seen, Cause::HandlerFailed("no space".into()));
        assert_eq!((new.state, &*new.run.verdict), (State::Retryable, "handler failed"), "{failed}");
        assert_eq!(new.reason.as_deref(), Some("handler: no space"));
        assert!(new.scheduled_at > now());
        assert!(new.continuation.answered && new.continuation.failed_handlers == failed);
        assert_eq!(new.uncounted, i32::from(failed > 1), "the first attempt has run claude");
        now_at = Job {
            attempt: now_at.attempt + 1,
            uncounted: now_at.uncounted.saturating_add_signed(new.uncounted),
            continuation: new.continuation,
            ..now_at
        };
    }
    let seen = Seen { only_handler: true, ..Seen::default() };
    let fifth = ended(&now_at, Policy::default(), &seen, Cause::HandlerFailed("no space".into()));
    assert_eq!((fifth.state, fifth.reason.as_deref()), (State::Discarded, Some("handler: no space")));
    let done = ended(&now_at, Policy::default(), &seen, Cause::Judged(Verdict::Complete));
    assert_eq!((done.state, done.uncounted), (State::Completed, 1));
    assert!(done.continuation.is_empty());
    // What a handler-only attempt decides goes by the attempts that have run claude.
    let again = Job { max_attempts: 2, ..now_at.clone() };
    assert_eq!(
        ended(&again, Policy::default(), &seen, Cause::Judged(Verdict::retry("x"))).state,
        State::Retryable
    );
    assert_eq!(
        ended(&now_at, Policy::default(), &seen, Cause::Judged(Verdict::retry("x"))).state,
        State::Discarded
    );
}

#[test]
fn a_handler_that_was_interrupted_runs_again_and_has_not_failed() {
    let new = ended(&job(1, 0, 1), Policy::default(), &begun(), Cause::HandlerInterrupted("shut down"));
    assert_eq!((new.state, new.scheduled_at), (State::Available, now()));
    assert!(new.continuation.answered && new.continuation.failed_handlers == 0);
    let continuation = Continuation { interruptions: 5, answered: true, ..Continuation::default() };
    let often = Job { continuation, ..job(7, 6, 1) };
    let new = ended(&often, Policy::default(), &begun(), Cause::HandlerInterrupted("shut down"));
    assert_eq!((new.state, new.continuation.failed_handlers), (State::Retryable, 1));
}

#[test]
fn somebody_who_asks_for_the_end_of_a_job_gets_it() {
    let cancelled = ended(&job(1, 0, 3), Policy::default(), &begun(), Cause::Cancelled);
    let end = (cancelled.state, cancelled.reason.as_deref(), &*cancelled.run.verdict);
    assert_eq!(end, (State::Cancelled, Some("cancelled on request"), "cancel"));
    // Also where the job was about to wait again.
    let waiting = ended(&job(1, 0, 3), Policy::default(), &begun(), Cause::Interrupted(LOST.to_owned()));
    let instead = waiting.cancelled(in_seconds(1));
    let end = (instead.state, instead.reason.as_deref(), &*instead.run.verdict);
    assert_eq!(end, (State::Cancelled, Some("cancelled on request"), "cancel"));
    assert_eq!((instead.finished_at, instead.uncounted), (Some(in_seconds(1)), 1));
    assert!(instead.continuation.is_empty());
}

#[test]
fn what_the_database_refuses_is_left_out() {
    let error = crate::Error::Database("no".into());
    let mut new = judged(&Verdict::Complete, &job(1, 0, 3));
    new.run.result = Some("text".into());
    new.run.session_id = Some("s".into());
    let bare = new.bare(&error.to_string(), now());
    assert_eq!(
        (bare.state, bare.run.result, bare.run.session_id.as_deref()),
        (State::Cancelled, None, Some("s"))
    );
    let barest = new.barest(now());
    assert_eq!((barest.state, barest.run.session_id), (State::Cancelled, None));
}
