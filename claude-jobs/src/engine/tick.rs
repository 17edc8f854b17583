//! What an engine is told about the ticks of schedules, and what it keeps of them.

use jiff::Timestamp;
use serde::Serialize;

use crate::job::{JobId, JobRow};
use crate::schedule::IfBusy;

/// A tick to record. `(entry, due)` is recorded once, by whichever node comes first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tick {
    /// The name of the entry.
    pub entry: String,
    /// Its expression and time zone at this time.
    pub schedule: String,
    /// When the tick was due; the present moment, when an entry is first seen.
    pub due: Timestamp,
    /// The present moment.
    pub recorded_at: Timestamp,
    /// How many ticks the row stands for that are not run.
    pub missed: u64,
    /// What is to be done about it.
    pub action: TickAction,
}

/// What is to be done about a tick, in the transaction that records it.
#[derive(Clone, Debug)]
pub enum TickAction {
    /// The entry is new, or its schedule is: nothing before counts.
    FirstSeen,
    /// Only record it.
    Miss,
    /// Insert its job, unless an earlier one's is not over and the entry skips then. It takes its unique key from the
    /// job of another tick of the entry.
    Insert(Box<JobRow>, IfBusy),
}

/// A recorded tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TickRow {
    /// The name of the entry.
    pub entry: String,
    /// Its expression and time zone when the tick was recorded.
    pub schedule: String,
    /// When it was due.
    pub due: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Its job; of a duplicate, the job that was there.
    pub job_id: Option<JobId>,
    /// How many ticks the row stands for that were not run.
    pub missed: u64,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TickOutcome {
    /// The entry, or its schedule, was new: no tick of it was due.
    FirstSeen,
    /// Its job was inserted.
    Inserted,
    /// A unique job like it was there already, of none of the entry's own ticks.
    Duplicate,
    /// The job of an earlier tick was not over.
    Busy,
    /// It was seen too late.
    Missed,
}

impl TickOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::FirstSeen, Self::Inserted, Self::Duplicate, Self::Busy, Self::Missed];

    /// Its name in databases and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstSeen => "first_seen",
            Self::Inserted => "inserted",
            Self::Duplicate => "duplicate",
            Self::Busy => "busy",
            Self::Missed => "missed",
        }
    }

    /// The outcome of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Tick {
    /// The row for what came of it.
    pub(crate) fn row(&self, outcome: TickOutcome, job_id: Option<JobId>) -> TickRow {
        TickRow {
            entry: self.entry.clone(),
            schedule: self.schedule.clone(),
            due: self.due,
            recorded_at: self.recorded_at,
            outcome,
            job_id,
            missed: self.missed,
        }
    }
}
