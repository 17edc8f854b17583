//! When routines are due: [`Schedule`] (a cron expression in a time zone), [`Cron`] (an entry of a
//! runtime), and what becomes of ticks that nobody could run.
//!
//! Pure: the present moment is a parameter. `service/cron.rs` carries out what is worked out here.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

pub use claude_jobs_schedule::Schedule;

use crate::clock::later;

#[cfg(test)]
mod tests;

/// A tick that is later than this was missed.
pub const LATE: Duration = Duration::from_secs(60);

/// The most missed ticks that [`Missed::All`] makes up for at once; the older ones are only recorded.
pub const MOST_MISSED: usize = 1_000;

/// What becomes of ticks that were due while no runtime looked: none was running, or none could reach the
/// database. A tick is missed when it is seen more than a minute late ([`LATE`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Missed {
    /// They are recorded and not run: nothing is paid for twice because a machine was off.
    Skip,
    /// The latest of them runs, once.
    One,
    /// Each runs, in order: at most the last 1,000 ([`MOST_MISSED`]).
    All,
}

impl Missed {
    /// What is done unless an entry says otherwise.
    pub const DEFAULT: Self = Self::Skip;

    /// Its name in the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::One => "one",
            Self::All => "all",
        }
    }
}

impl Default for Missed {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What becomes of a tick while a job of an earlier tick of the same entry waits or runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IfBusy {
    /// Its job is inserted all the same and waits its turn.
    Queue,
    /// It is recorded as `busy`, and no job is inserted.
    Skip,
}

impl IfBusy {
    /// What is done unless an entry says otherwise.
    pub const DEFAULT: Self = Self::Queue;

    /// Its name in the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Skip => "skip",
        }
    }
}

impl Default for IfBusy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What the attribute of a worker says about its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerCron {
    /// The cron expression.
    pub expression: &'static str,
    /// The IANA name of its time zone.
    pub time_zone: &'static str,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// What becomes of a tick while an earlier one's job is not over.
    pub if_busy: IfBusy,
}

/// An entry of a runtime's schedule, for [`RuntimeBuilder::cron`](crate::runtime::RuntimeBuilder::cron).
///
/// ```
/// use claude_jobs::schedule::{Cron, IfBusy, Missed};
///
/// let entry = Cron::new("digest", "0 9 * * 1-5")
///     .time_zone("Europe/Berlin")
///     .missed(Missed::One)
///     .if_busy(IfBusy::Skip);
/// ```
#[derive(Clone, Debug)]
#[must_use = "an entry does nothing until a runtime is given it"]
pub struct Cron {
    pub(crate) name: String,
    pub(crate) expression: String,
    pub(crate) time_zone: String,
    pub(crate) missed: Missed,
    pub(crate) if_busy: IfBusy,
}

impl Cron {
    /// An entry of this name, due by this expression ([`Schedule::parse`]) in UTC. The name tells it from
    /// all other entries of the database, the workers' own included (they have the workers' names): the
    /// nodes of a fleet that have an entry of one name insert one job per tick between them.
    pub fn new(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            expression: expression.into(),
            time_zone: "UTC".to_owned(),
            missed: Missed::default(),
            if_busy: IfBusy::default(),
        }
    }

    /// The IANA name of the time zone. Default: `UTC`.
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.time_zone = name.into();
        self
    }

    /// What becomes of missed ticks. Default: [`Missed::Skip`].
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// What becomes of a tick while an earlier one's job is not over. Default: [`IfBusy::Queue`].
    pub fn if_busy(mut self, if_busy: IfBusy) -> Self {
        self.if_busy = if_busy;
        self
    }
}

/// What is to be done about one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) due: Timestamp,
    /// Whether a job is to be inserted.
    pub(crate) runs: bool,
    /// How many ticks it stands for that are not run: itself, if it does not run, and earlier ones.
    pub(crate) missed: u64,
}

impl Missed {
    /// What is to be done now about the ticks that are due, in order.
    pub(crate) fn plan(self, ticks: impl Iterator<Item = Timestamp>, now: Timestamp) -> Vec<Planned> {
        let most = if self == Self::All { MOST_MISSED } else { 1 };
        let (mut late, mut older) = (VecDeque::new(), Older::default());
        let mut in_time = Vec::new();
        for tick in ticks {
            if later(tick, LATE) >= now {
                in_time.push(tick);
                continue;
            }
            if late.len() == most {
                older.add(late.pop_front());
            }
            late.push_back(tick);
        }
        let run = |due| Planned { due, runs: true, missed: 0 };
        match (self, late.back().copied()) {
            (_, None) => in_time.into_iter().map(run).collect(),
            (Self::Skip, Some(due)) => {
                let skipped = Planned { due, runs: false, missed: older.count + 1 };
                [skipped].into_iter().chain(in_time.into_iter().map(run)).collect()
            }
            (Self::One, Some(due)) => {
                let due = in_time.last().copied().unwrap_or(due);
                vec![Planned { due, runs: true, missed: older.count + in_time.len() as u64 }]
            }
            (Self::All, Some(_)) => {
                let older = older.newest.map(|due| Planned { due, runs: false, missed: older.count });
                older.into_iter().chain(late.into_iter().chain(in_time).map(run)).collect()
            }
        }
    }
}

/// Ticks that are not run, of which only the number is kept.
#[derive(Default)]
struct Older {
    newest: Option<Timestamp>,
    count: u64,
}

impl Older {
    fn add(&mut self, tick: Option<Timestamp>) {
        self.newest = tick;
        self.count += 1;
    }
}
