//! [`decide`]: what becomes of a job when an attempt is over.
//!
//! | the attempt … | shutdown, lost lease, dead node |
//! |---|---|
//! | had not begun: no request to the API can have been made | given back, uncounted |
//! | had answered | settled by its answer; where a handler has not finished, only that runs again |
//! | had begun | the worker's `on_lost`: `resume` continues its session, uncounted, at most `max_interruptions` times; `retry` counts; `hold` discards it for an operator; `cancel` cancels it |
//!
//! Everything else is a [`Verdict`], or a handler that failed.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff::{Backoff, wait};
use super::{ON_REQUEST, Remains, Settlement};
use crate::clock::{between, later};
use crate::definition::{Definition, OnLost, RetryFrom};
use crate::job::{Continuation, Job, Session, State};
use crate::outcome::FailureKind;
use crate::verdict::{Verdict, Wake};

/// The reason recorded for a job whose node died during its run.
pub(crate) const LOST: &str = "lost: the node that ran it died";

/// What a worker says about the ends of its attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) backoff: Backoff,
    pub(crate) on_lost: OnLost,
    pub(crate) retry_from: RetryFrom,
    pub(crate) max_interruptions: u32,
    pub(crate) max_handler_attempts: u32,
}

impl Policy {
    /// Of a worker.
    pub(crate) const fn of(definition: &Definition) -> Self {
        Self {
            backoff: definition.backoff,
            on_lost: definition.on_lost,
            retry_from: definition.retry_from,
            max_interruptions: definition.max_interruptions,
            max_handler_attempts: definition.max_handler_attempts,
        }
    }
}

impl Default for Policy {
    /// Where the worker is not known.
    fn default() -> Self {
        Self::of(&Definition::new("", ""))
    }
}

/// Why an attempt is over.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// Claude has ended, and classifier and handler have judged it; or claude was not asked, since that must fail.
    Judged(Verdict),
    /// Its node shut down, lost its lease, died, or has met a fault of its own. The text says which.
    Interrupted(String),
    /// Claude has not been started, and that is not the job's fault. The text says why.
    NotStarted(String),
    /// Somebody asked for the job's cancellation.
    Cancelled,
    /// The handler failed; the answer is stored.
    HandlerFailed(String),
    /// The node shut down while the handler ran; the answer is stored.
    HandlerInterrupted(&'static str),
    /// The interrupted attempt that it was to continue cannot be continued from here.
    OutOfReach,
}

/// What was seen of an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether a request to the API can have been made.
    pub(crate) begun: bool,
    /// Whether anything came back from the API.
    pub(crate) worked: bool,
    /// How the run failed, if it did.
    pub(crate) failed: Option<FailureKind>,
    /// Its session, where it can be continued.
    pub(crate) session: Option<Session>,
    /// Only the handler ran, with a stored answer.
    pub(crate) only_handler: bool,
    /// The session that it was to continue was out of reach, so that it started anew: where that session was of an
    /// interrupted attempt, that one counts now.
    pub(crate) anew: bool,
}

/// Decides what becomes of the job. Sets the verdict of the ledger row.
pub(crate) fn decide(
    job: &Job,
    policy: &Policy,
    seen: &Seen,
    cause: Cause,
    remains: Remains,
    now: Timestamp,
) -> Settlement {
    let counts_now = seen.anew && job.continuation.session.as_ref().is_some_and(|session| session.uncounted);
    let change = i32::from(seen.only_handler) - i32::from(counts_now);
    let continued = job.continuation.session.clone().filter(|_| !seen.anew);
    let attempt = Attempt { job, policy, seen, continued, change, now };
    let (verdict, mut settlement) = attempt.decide(cause, remains);
    settlement.uncounted += change;
    settlement.run.verdict = verdict.to_owned();
    settlement
}

struct Attempt<'a> {
    job: &'a Job,
    policy: &'a Policy,
    seen: &'a Seen,
    /// The session that it has continued.
    continued: Option<Session>,
    /// By how much the uncounted attempts change whatever is decided.
    change: i32,
    now: Timestamp,
}

/// The name in the ledger, and the change of the row.
type Decided = (&'static str, Settlement);

impl Attempt<'_> {
    fn decide(&self, cause: Cause, remains: Remains) -> Decided {
        match cause {
            Cause::Judged(verdict) => self.judged(&verdict, remains),
            Cause::Interrupted(why) if self.seen.begun => self.interrupted(&why, remains),
            Cause::Interrupted(why) => self.given_back(&why, remains),
            Cause::NotStarted(why) => self.given_back(&why, remains),
            Cause::Cancelled => {
                ("cancel", self.ended(State::Cancelled, Some(ON_REQUEST.to_owned()), remains))
            }
            Cause::HandlerFailed(problem) => self.handler_failed(&problem, remains),
            Cause::HandlerInterrupted(why) => self.handler_interrupted(why, remains),
            Cause::OutOfReach => self.out_of_reach(remains),
        }
    }

    fn judged(&self, verdict: &Verdict, remains: Remains) -> Decided {
        let settlement = match verdict {
            Verdict::Complete => self.ended(State::Completed, None, remains),
            Verdict::Cancel { reason } => self.ended(State::Cancelled, Some(reason.clone()), remains),
            Verdict::Retry { reason, after } => {
                self.retried(reason, self.backoff().max(after.unwrap_or_default()), self.going_on(), remains)
            }
            Verdict::Resume { prompt } => self.resumed(prompt, remains),
            Verdict::Snooze { reason, wake } => return self.snoozed(reason, *wake, remains),
        };
        (verdict.name(), settlement)
    }

    /// Run again without counting, unless the snoozes are used up, or the run would start again from the beginning
    /// although it had begun.
    fn snoozed(&self, reason: &str, wake: Wake, remains: Remains) -> Decided {
        let (job, going_on) = (self.job, self.going_on());
        // The account's limit, not the job's: refusals are free, and the account's pause spaces them.
        let is_limit = self.seen.failed == Some(FailureKind::UsageLimit);
        let repeats = going_on.is_none() && self.seen.failed.is_some_and(|kind| self.had_begun(kind));
        let wait = match wake {
            Wake::In(delay) => delay,
            Wake::At(moment) => between(self.now, moment),
        };
        if repeats {
            return ("retry", self.retried(reason, wait.max(self.backoff()), None, remains));
        }
        if !is_limit && job.snoozes >= job.max_snoozes {
            let reason = format!("{reason} (all {} snoozes used)", job.max_snoozes);
            return ("retry", self.retried(&reason, wait.max(self.backoff()), going_on, remains));
        }
        let going_on = going_on.map(|session| Session { uncounted: true, ..session });
        let waiting = self.waiting(State::Scheduled, reason.to_owned(), later(self.now, wait), remains);
        let continuation = self.continuing(going_on);
        ("snooze", Settlement { uncounted: 1, snoozed: !is_limit, continuation, ..waiting })
    }

    /// Goes on in the session, which counts.
    fn resumed(&self, prompt: &str, remains: Remains) -> Settlement {
        let Some(session) = self.seen.session.clone() else {
            let reason = "`Verdict::resume`: the run has left no session to go on in".to_owned();
            return self.ended(State::Cancelled, Some(reason), remains);
        };
        let session = Session { prompt: Some(prompt.to_owned()), ..session };
        let reason = match self.attempts_left() {
            0 => "`Verdict::resume`: no attempt is left to go on in the session",
            _ => "goes on in its session",
        };
        self.retried(reason, Duration::ZERO, Some(session), remains)
    }

    fn interrupted(&self, why: &str, remains: Remains) -> Decided {
        let Policy { on_lost, max_interruptions, .. } = *self.policy;
        let held = |state| self.ended(state, Some(why.to_owned()), remains.clone());
        match on_lost {
            OnLost::Hold => ("hold", held(State::Discarded)),
            OnLost::Cancel => ("cancel", held(State::Cancelled)),
            OnLost::Retry => ("retry", self.retried(why, Duration::ZERO, None, remains)),
            OnLost::Resume => {
                let Some(session) = self.seen.session.clone() else {
                    return ("retry", self.retried(why, Duration::ZERO, None, remains));
                };
                let interruptions = self.job.continuation.interruptions;
                if interruptions >= max_interruptions {
                    let reason = format!("{why} (interrupted {interruptions} times before)");
                    return ("resume", self.retried(&reason, Duration::ZERO, Some(session), remains));
                }
                let session = Session { uncounted: true, ..session };
                let continuation = Continuation {
                    interruptions: interruptions.saturating_add(1),
                    ..self.continuing(Some(session))
                };
                let back = self.waiting(State::Available, why.to_owned(), self.now, remains);
                ("resume", Settlement { uncounted: 1, continuation, ..back })
            }
        }
    }

    /// Claimable at once, as it was before the claim.
    fn given_back(&self, why: &str, remains: Remains) -> Decided {
        let reason = format!("given back: {why}");
        let continuation = Continuation { session: self.continued.clone(), ..self.job.continuation.clone() };
        let back = self.waiting(State::Available, reason, self.now, remains);
        ("give back", Settlement { uncounted: 1, continuation, ..back })
    }

    fn handler_failed(&self, problem: &str, remains: Remains) -> Decided {
        let before = if self.seen.only_handler { self.job.continuation.failed_handlers } else { 0 };
        let failed = before.saturating_add(1);
        let reason = format!("handler: {problem}");
        if failed >= self.policy.max_handler_attempts {
            // By hand it has one try more.
            let continuation = Continuation { failed_handlers: failed, ..Continuation::default() };
            let over = self.ended(State::Discarded, Some(reason), remains);
            return ("handler failed", Settlement { continuation, ..over });
        }
        let continuation = Continuation { failed_handlers: failed, ..self.answered() };
        let at = later(self.now, wait(self.policy.backoff, failed, self.job));
        let again = self.waiting(State::Retryable, reason, at, remains);
        ("handler failed", Settlement { continuation, ..again })
    }

    fn handler_interrupted(&self, why: &'static str, remains: Remains) -> Decided {
        let interruptions = self.job.continuation.interruptions;
        if interruptions >= self.policy.max_interruptions {
            return self.handler_failed(why, remains);
        }
        let continuation = Continuation { interruptions: interruptions.saturating_add(1), ..self.answered() };
        let again = self.waiting(State::Available, format!("given back: {why}"), self.now, remains);
        ("give back", Settlement { continuation, ..again })
    }

    /// Only the handler runs next.
    fn answered(&self) -> Continuation {
        Continuation { session: None, answered: true, ..self.job.continuation.clone() }
    }

    fn out_of_reach(&self, remains: Remains) -> Decided {
        let session = self.job.continuation.session.as_ref().map_or("", |session| &session.id);
        let reason = format!(
            "lost: the session `{session}` of an attempt that had begun cannot be continued on this host, and no attempt \
             is left to start anew"
        );
        ("hold", self.ended(State::Discarded, Some(reason), remains))
    }

    /// The session in which a retry goes on instead of starting anew.
    fn going_on(&self) -> Option<Session> {
        let kind = self.seen.failed?;
        if self.policy.retry_from == RetryFrom::Start {
            return None;
        }
        if self.had_begun(kind) {
            return self.seen.session.clone();
        }
        // It was to go on already, and nothing came of that.
        self.continued.clone().filter(|_| is_transient(kind))
    }

    /// Whether something was paid for, or may have been, that starting anew would pay for again: not where the API has
    /// refused the first request.
    fn had_begun(&self, kind: FailureKind) -> bool {
        let is_refusal = is_refusal(kind);
        is_transient(kind) && self.seen.begun && (self.seen.worked || !is_refusal)
    }

    /// With a session for the next attempt.
    fn continuing(&self, session: Option<Session>) -> Continuation {
        let interruptions = self.job.continuation.interruptions;
        Continuation { session, interruptions, ..Continuation::default() }
    }

    fn attempts_left(&self) -> u32 {
        let uncounted = self.job.uncounted.saturating_add_signed(self.change);
        self.job.max_attempts.saturating_sub(self.job.attempt.saturating_sub(uncounted))
    }

    fn backoff(&self) -> Duration {
        let uncounted = self.job.uncounted.saturating_add_signed(self.change);
        wait(self.policy.backoff, self.job.attempt.saturating_sub(uncounted), self.job)
    }

    /// A counted attempt.
    fn retried(
        &self,
        reason: &str,
        wait: Duration,
        session: Option<Session>,
        remains: Remains,
    ) -> Settlement {
        let continuation = self.continuing(session);
        if self.attempts_left() == 0 {
            // Whoever retries it by hand goes on in its session.
            return Settlement {
                continuation: if continuation.session.is_some() {
                    continuation
                } else {
                    Continuation::default()
                },
                ..self.ended(State::Discarded, Some(reason.to_owned()), remains)
            };
        }
        let again = self.waiting(State::Retryable, reason.to_owned(), later(self.now, wait), remains);
        Settlement { continuation, ..again }
    }

    fn ended(&self, state: State, reason: Option<String>, remains: Remains) -> Settlement {
        let ended = Settlement::new(state, reason, self.job.scheduled_at, self.job, remains);
        Settlement { finished_at: Some(self.now), ..ended }
    }

    fn waiting(&self, state: State, reason: String, at: Timestamp, remains: Remains) -> Settlement {
        Settlement::new(state, Some(reason), at, self.job, remains)
    }
}

/// Failures that have nothing to do with what the job asks for, so that its session can simply go on.
fn is_transient(kind: FailureKind) -> bool {
    use FailureKind as Kind;
    let is_cut_off = matches!(
        kind,
        Kind::Timeout
            | Kind::IdleTimeout
            | Kind::ToolTimeout
            | Kind::Interrupted
            | Kind::Killed
            | Kind::Crashed
            | Kind::Io
            | Kind::CommandFailed
            | Kind::Lost
    );
    is_cut_off || is_refusal(kind)
}

/// The API has refused the last request, or could not be reached: that request costs nothing.
fn is_refusal(kind: FailureKind) -> bool {
    use FailureKind as Kind;
    matches!(
        kind,
        Kind::UsageLimit
            | Kind::RateLimit
            | Kind::Overloaded
            | Kind::ServerError
            | Kind::Connection
            | Kind::RequestTimeout
            | Kind::MalformedResponse
    )
}
