//! [`Verdict`]: what shall become of a job after a run.

use std::time::Duration;

use jiff::Timestamp;

/// What shall become of a job. The [classifier](crate::classify) proposes one, the worker's handler
/// has the last word.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The job is done: `completed`.
    Complete,
    /// Run it again, which is a new paid run: `retryable`, or `discarded` once `max_attempts` runs have counted. After a
    /// transient failure of a run that had begun it goes on in the session, unless the worker says
    /// `retry_from = "start"`.
    Retry {
        /// Why, for the job's errors.
        reason: String,
        /// The least wait. Default: the worker's backoff.
        after: Option<Duration>,
    },
    /// Go on in the session of this run, with a new allowance of turns, budget and time: `retryable`, at once. It counts
    /// as an attempt, so that `max_attempts` bounds it; `discarded` once they are used up. A run without a session to go
    /// on in is cancelled.
    Resume {
        /// What claude is asked.
        prompt: String,
    },
    /// Run it again later without counting this run: `scheduled`. Once `max_snoozes` snoozes are
    /// used up it becomes a counted retry, so that paid work cannot repeat forever.
    Snooze {
        /// Why.
        reason: String,
        /// When.
        wake: Wake,
    },
    /// Never run it again: `cancelled`.
    Cancel {
        /// Why.
        reason: String,
    },
}

/// When a snoozed job wakes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Wake {
    /// After this long.
    In(Duration),
    /// At this moment.
    At(Timestamp),
}

impl Verdict {
    /// Run it again, after the worker's backoff.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// Run it again, after the worker's backoff but no sooner than `after`.
    pub fn retry_after(after: Duration, reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: Some(after) }
    }

    /// Go on in the session of this run: see [`Verdict::Resume`].
    pub fn resume(prompt: impl Into<String>) -> Self {
        Self::Resume { prompt: prompt.into() }
    }

    /// Run it again after `delay`, without counting this run.
    pub fn snooze(delay: Duration, reason: impl Into<String>) -> Self {
        Self::Snooze { reason: reason.into(), wake: Wake::In(delay) }
    }

    /// Run it again at `moment`, without counting this run.
    pub fn snooze_until(moment: Timestamp, reason: impl Into<String>) -> Self {
        Self::Snooze { reason: reason.into(), wake: Wake::At(moment) }
    }

    /// Never run it again.
    pub fn cancel(reason: impl Into<String>) -> Self {
        Self::Cancel { reason: reason.into() }
    }

    /// The verdict's name: `complete`, `retry`, `resume`, `snooze` or `cancel`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Retry { .. } => "retry",
            Self::Resume { .. } => "resume",
            Self::Snooze { .. } => "snooze",
            Self::Cancel { .. } => "cancel",
        }
    }

    /// Why, where the verdict says.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Complete | Self::Resume { .. } => None,
            Self::Retry { reason, .. } | Self::Snooze { reason, .. } | Self::Cancel { reason } => {
                Some(reason)
            }
        }
    }
}
