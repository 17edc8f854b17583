//! [`Limits`]: how many jobs of a queue may run at once, and how often one may start.

use std::time::Duration;

use crate::error::{Error, Result};

/// How many jobs of a queue may run at once, and how often one may start.
///
/// A plain number is the first of them: `runtime.queue("review", 4)` is
/// `runtime.queue("review", Limits::local(4))`.
///
/// What spans nodes is counted in the database. Each node goes by what it is configured with itself, so
/// configure all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) concurrency: u32,
    pub(crate) global: Option<u32>,
    pub(crate) per_key: u32,
    pub(crate) rate: Option<Rate>,
    pub(crate) claim_ahead: bool,
}

/// At most so many starts within any period of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// Starts.
    pub starts: u32,
    /// The length of the period.
    pub period: Duration,
}

impl Limits {
    /// At most this many at once in this process (at least 1), unless the queue's settings in the
    /// database say otherwise (`queues scale`).
    pub const fn local(concurrency: u32) -> Self {
        Self { concurrency, global: None, per_key: 1, rate: None, claim_ahead: true }
    }

    /// At most this many at once on all nodes together (at least 1).
    #[must_use]
    pub const fn global(mut self, jobs: u32) -> Self {
        self.global = Some(jobs);
        self
    }

    /// At most this many at once with the same concurrency key, on all nodes together, whichever
    /// queues they are in. Default: 1. Jobs without a key do not count.
    #[must_use]
    pub const fn per_key(mut self, jobs: u32) -> Self {
        self.per_key = jobs;
        self
    }

    /// At most this many starts within any `period`, on all nodes together. Every attempt is a start.
    #[must_use]
    pub const fn rate(mut self, starts: u32, period: Duration) -> Self {
        self.rate = Some(Rate { starts, period });
        self
    }

    /// Whether a node may claim a few more jobs than it has room for when, judged by the last ones,
    /// they are over within milliseconds. Default: `true`. It never does with jobs that take longer,
    /// nor under a limit that spans nodes; a job that was claimed ahead and finds no room within 200 ms
    /// is given back.
    #[must_use]
    pub const fn claim_ahead(mut self, allowed: bool) -> Self {
        self.claim_ahead = allowed;
        self
    }

    /// Whether a limit applies that other nodes share, keys aside.
    pub(crate) fn span_nodes(&self) -> bool {
        self.global.is_some() || self.rate.is_some()
    }

    /// A limit of nothing is a mistake: that is what pausing is for.
    pub(crate) fn check(&self, queue: &str) -> Result<()> {
        let zeros = [
            ("concurrency", self.concurrency == 0),
            ("a global limit", self.global == Some(0)),
            ("a limit per key", self.per_key == 0),
            ("a rate", self.rate.is_some_and(|rate| rate.starts == 0)),
        ];
        if let Some((what, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
            let remedy = "give at least 1, or pause the queue";
            return Err(Error::Configuration(format!("queue `{queue}` has {what} of 0: {remedy}")));
        }
        if self.rate.is_some_and(|rate| rate.period.is_zero()) {
            let remedy = "say within which time the starts count, such as `Duration::from_secs(60)`";
            return Err(Error::Configuration(format!(
                "queue `{queue}` has a rate without a period: {remedy}"
            )));
        }
        Ok(())
    }
}

impl From<u32> for Limits {
    fn from(concurrency: u32) -> Self {
        Self::local(concurrency)
    }
}
