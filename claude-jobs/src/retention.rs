//! [`Retention`]: how long jobs that are over are kept.

use std::time::Duration;

use crate::job::State;

/// How long jobs are kept once they are over, by final state. What is not named is kept for ever: results
/// are paid for, so a queue throws none away unless told to.
///
/// A job goes with its ledger and errors, and its unique key is free again: a runtime does not start that would remove
/// the jobs of a worker before its `unique_period` is over. Every runtime that is given a retention removes jobs, a minute
/// after its start and then hourly.
///
/// ```
/// use claude_jobs::retention::Retention;
///
/// let retention = Retention::default().completed(30 * Retention::DAY).cancelled(90 * Retention::DAY);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "nothing is pruned until a runtime is given this"]
pub struct Retention {
    completed: Option<Duration>,
    discarded: Option<Duration>,
    cancelled: Option<Duration>,
}

impl Retention {
    /// 24 hours.
    pub const DAY: Duration = Duration::from_secs(86_400);

    /// Removes completed jobs this long after their end.
    pub fn completed(mut self, after: Duration) -> Self {
        self.completed = Some(after);
        self
    }

    /// Removes discarded jobs this long after their end.
    pub fn discarded(mut self, after: Duration) -> Self {
        self.discarded = Some(after);
        self
    }

    /// Removes cancelled jobs this long after their end.
    pub fn cancelled(mut self, after: Duration) -> Self {
        self.cancelled = Some(after);
        self
    }

    /// The states that are not kept for ever.
    pub(crate) fn limits(self) -> impl Iterator<Item = (State, Duration)> {
        let limits = [
            (State::Completed, self.completed),
            (State::Discarded, self.discarded),
            (State::Cancelled, self.cancelled),
        ];
        limits.into_iter().filter_map(|(state, limit)| Some((state, limit?)))
    }
}
