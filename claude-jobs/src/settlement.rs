//! [`Settlement`]: a verdict worked out into the exact change of the job's row.
//!
//! Pure: verdict + job + now in, row change out. Engines only write it, in one transaction, fenced
//! by `(id, attempt, executing)`.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::clock::later;
use crate::definition::OnLost;
use crate::job::{AttemptError, Job, JobId, JobRow, RunRow, State};
use crate::verdict::{Verdict, Wake};

/// How long to wait before a retry: from the number of counted attempts, at least 1. One that panics is the default.
pub type Backoff = fn(attempt: u32) -> Duration;

/// Why a job is where it is whose node died while it ran.
pub(crate) const LOST: &str = "lost: the node that ran it died";

/// The longest backoff that a worker's own function may ask for: 30 days.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30 * 86_400);

/// The default backoff: 15 s doubled with each counted attempt, at most 1 h.
///
/// `min(15 s × 2^(attempt − 1), 1 h)`. [`Settlement`] then spreads it by ±10 %, so that jobs that
/// failed together do not come back together.
pub fn backoff(attempt: u32) -> Duration {
    const BASE: Duration = Duration::from_secs(15);
    const MOST: Duration = Duration::from_secs(3_600);
    let doublings = attempt.saturating_sub(1).min(16);
    (BASE * (1 << doublings)).min(MOST)
}

/// The change of a row that ends a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// The job.
    pub id: JobId,
    /// The run's fencing token.
    pub attempt: u32,
    /// The state it goes to.
    pub state: State,
    /// When it may run next (or when it last might, for a final state).
    pub scheduled_at: Timestamp,
    /// When it reached its final state.
    pub finished_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Whether this attempt does not count.
    pub uncounted: bool,
    /// Whether a snooze was used.
    pub snoozed: bool,
    /// The job's notes, if they changed.
    pub meta: Option<Map<String, Value>>,
    /// The session that the next attempt continues. What does not count as an attempt (a snooze, a job
    /// given back) keeps the one it was to continue.
    pub resume: Option<String>,
    /// The failure, for the job's errors.
    pub error: Option<AttemptError>,
    /// The ledger row.
    pub run: RunRow,
    /// Jobs to insert with it.
    pub follow_ons: Vec<JobRow>,
    /// Until when the job's queue makes no claims.
    pub pause_queue_until: Option<Timestamp>,
}

/// What a run leaves besides its verdict.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Remains {
    /// The ledger row.
    pub run: RunRow,
    /// The failure, for the job's errors.
    pub error: Option<AttemptError>,
    /// The job's notes, if they changed.
    pub meta: Option<Map<String, Value>>,
    /// Jobs to insert with it.
    pub follow_ons: Vec<JobRow>,
    /// When the limit that stopped the run is lifted.
    pub pause_queue_until: Option<Timestamp>,
}

impl Remains {
    /// Only a ledger row.
    pub fn of(run: RunRow) -> Self {
        Self { run, error: None, meta: None, follow_ons: Vec::new(), pause_queue_until: None }
    }
}

impl Settlement {
    /// Works a verdict out.
    pub fn of(verdict: &Verdict, job: &Job, backoff: Backoff, remains: Remains, now: Timestamp) -> Self {
        match verdict {
            Verdict::Complete => Self::ended(State::Completed, None, job, remains, now),
            Verdict::Cancel { reason } => {
                Self::ended(State::Cancelled, Some(reason.clone()), job, remains, now)
            }
            Verdict::Retry { reason, after } => Self::retried(reason, *after, job, backoff, remains, now),
            Verdict::Snooze { reason, wake } if job.snoozes < job.max_snoozes => {
                let wake = match wake {
                    Wake::In(delay) => later(now, *delay),
                    Wake::At(moment) => *moment,
                };
                Self {
                    uncounted: true,
                    snoozed: true,
                    resume: job.resume.clone(),
                    ..Self::waiting(State::Scheduled, reason.clone(), wake.max(now), job, remains)
                }
            }
            Verdict::Snooze { reason, wake } => {
                let wait = match wake {
                    Wake::In(delay) => *delay,
                    Wake::At(moment) => crate::clock::between(now, *moment),
                };
                let reason = format!("{reason} (all {} snoozes used)", job.max_snoozes);
                Self::retried(&reason, Some(wait), job, backoff, remains, now)
            }
        }
    }

    /// Gives a job back that shall not run here, or whose run was stopped because the node shuts down:
    /// claimable at once, and the attempt does not count.
    pub fn given_back(why: &str, job: &Job, remains: Remains, now: Timestamp) -> Self {
        let reason = format!("given back: {why}");
        Self {
            uncounted: true,
            resume: job.resume.clone(),
            ..Self::waiting(State::Available, reason, now, job, remains)
        }
    }

    /// Lets a job wait until its account may be tried again. That is neither an attempt nor a snooze.
    pub(crate) fn waits_for_account(reason: &str, until: Timestamp, job: &Job, remains: Remains) -> Self {
        Self {
            uncounted: true,
            resume: job.resume.clone(),
            ..Self::waiting(State::Scheduled, reason.to_owned(), until, job, remains)
        }
    }

    /// Ends the run of a dead node by the worker's policy, given the session it ran under. Where it runs
    /// again, that is at once.
    pub fn lost(
        policy: OnLost,
        session: Option<String>,
        job: &Job,
        remains: Remains,
        now: Timestamp,
    ) -> Self {
        let reason = || Some(LOST.to_owned());
        let at_once = |_| Duration::ZERO;
        match policy {
            OnLost::Retry => Self::retried(LOST, None, job, at_once, remains, now),
            OnLost::Resume => {
                Self { resume: session, ..Self::retried(LOST, None, job, at_once, remains, now) }
            }
            OnLost::Hold => Self::ended(State::Discarded, reason(), job, remains, now),
            OnLost::Cancel => Self::ended(State::Cancelled, reason(), job, remains, now),
        }
    }

    /// The end of a run whose settlement the database has refused: cancelled, with what is known to be needed
    /// and nothing of what the run or its handler has brought.
    pub(crate) fn bare(&self, why: &crate::Error, now: Timestamp) -> Self {
        let refused = if self.follow_ons.is_empty() { "settlement" } else { "follow-on job" };
        let mut run = self.run.clone();
        run.verdict = "cancel".to_owned();
        if self.follow_ons.is_empty() {
            (run.result, run.structured, run.last_events) = (None, None, Vec::new());
        }
        Self {
            state: State::Cancelled,
            finished_at: Some(now),
            reason: Some(format!("{refused} refused: {why}")),
            uncounted: false,
            snoozed: false,
            follow_ons: Vec::new(),
            meta: if self.follow_ons.is_empty() { None } else { self.meta.clone() },
            run,
            ..self.clone()
        }
    }

    /// Where even that is refused: without a word of anybody's. What the run cost and used stays.
    pub(crate) fn barest(&self, now: Timestamp) -> Self {
        let run = RunRow {
            verdict: "cancel".to_owned(),
            session_id: None,
            model: None,
            cli_version: None,
            result: None,
            structured: None,
            last_events: Vec::new(),
            environment: BTreeMap::new(),
            ..self.run.clone()
        };
        Self {
            state: State::Cancelled,
            finished_at: Some(now),
            reason: Some("settlement refused: the log of the program that ran it says why".to_owned()),
            uncounted: false,
            snoozed: false,
            follow_ons: Vec::new(),
            meta: None,
            resume: None,
            error: None,
            run,
            ..self.clone()
        }
    }

    fn retried(
        reason: &str,
        after: Option<Duration>,
        job: &Job,
        backoff: Backoff,
        remains: Remains,
        now: Timestamp,
    ) -> Self {
        if job.attempts_left() == 0 {
            return Self::ended(State::Discarded, Some(reason.to_owned()), job, remains, now);
        }
        let attempt = job.counted_attempts().max(1);
        // User code: 2 to the power of the attempt, say, is too much some day.
        let delay = catch_unwind(|| backoff(attempt)).unwrap_or_else(|_| self::backoff(attempt));
        let delay = spread(delay.min(MAX_BACKOFF), job);
        let delay = after.map_or(delay, |least| delay.max(least));
        Self::waiting(State::Retryable, reason.to_owned(), later(now, delay), job, remains)
    }

    fn ended(state: State, reason: Option<String>, job: &Job, remains: Remains, now: Timestamp) -> Self {
        Self {
            finished_at: Some(now),
            reason,
            ..Self::waiting(state, String::new(), job.scheduled_at, job, remains)
        }
    }

    fn waiting(state: State, reason: String, at: Timestamp, job: &Job, remains: Remains) -> Self {
        Self {
            id: job.id,
            attempt: job.attempt,
            state,
            scheduled_at: at,
            finished_at: None,
            reason: Some(reason),
            uncounted: false,
            snoozed: false,
            meta: remains.meta,
            resume: None,
            error: remains.error,
            run: remains.run,
            follow_ons: remains.follow_ons,
            pause_queue_until: remains.pause_queue_until,
        }
    }
}

/// `delay` changed by up to ±10 %, by a hash of job and attempt: no randomness, so that the same
/// settlement worked out twice is the same.
fn spread(delay: Duration, job: &Job) -> Duration {
    // SplitMix64's finaliser: neighbouring ids give unrelated fractions.
    let mut hash = (job.id.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(job.attempt));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let fraction = ((hash ^ (hash >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
    delay.mul_f64(0.9 + 0.2 * fraction)
}

#[cfg(test)]
mod tests;
