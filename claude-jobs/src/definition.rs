//! [`Definition`]: what the attribute of a worker says, as a constant.

use crate::classify::{self, Classifier};
use crate::options::Args;
use crate::settlement::{self, Backoff};
use crate::unique::UniqueDefault;

/// What the attribute of a worker says.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The stable name that rows carry.
    pub name: &'static str,
    /// The queue of its jobs.
    pub queue: &'static str,
    /// How many counted attempts a job may use.
    pub max_attempts: u32,
    /// How many snoozes a job may use before a snooze counts as a retry.
    pub max_snoozes: u32,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// What must not occur twice.
    pub unique: Option<UniqueDefault>,
    /// Labels of its jobs.
    pub tags: &'static [&'static str],
    /// Options under the job's own.
    pub args: Args,
    /// Options over the job's own.
    pub pinned_args: Args,
    /// Proposes a verdict for each run.
    pub classifier: Classifier,
    /// How long to wait before a retry.
    pub backoff: Backoff,
    /// Its fields, in order; none for a unit struct.
    pub fields: &'static [&'static str],
    /// `file:line` of the struct.
    pub defined_at: &'static str,
}

impl Definition {
    /// The defaults, for a worker of this name and queue.
    pub const fn new(name: &'static str, queue: &'static str) -> Self {
        Self {
            name,
            queue,
            max_attempts: 3,
            max_snoozes: 3,
            priority: 0,
            unique: None,
            tags: &[],
            args: Args::EMPTY,
            pinned_args: Args::EMPTY,
            classifier: classify::default,
            backoff: settlement::backoff,
            fields: &[],
            defined_at: "",
        }
    }
}
