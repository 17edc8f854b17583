//! Jobs as values: [`Job`] (a stored one), [`NewJob`] (one to insert), their ledger rows.
//!
//! Nothing here touches a database; the engine reads and writes these.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::options::ArgMap;
use crate::telemetry::TraceContext;
use crate::unique::Unique;

mod continuation;
mod new;

pub use continuation::{Continuation, Session};
pub(crate) use new::{LABEL_RULE, is_label};
pub use new::{MAX_ATTEMPTS, NewJob, Schedule};

/// A job's number in its database. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where a job is in its life. The states are Oban's.
///
/// | state | meaning | leaves by |
/// |---|---|---|
/// | `scheduled` | waits for its time | time, cancel |
/// | `available` | may be claimed | claim, cancel |
/// | `executing` | claimed by a node | settlement, rescue |
/// | `retryable` | failed, waits for its next attempt | time, cancel |
/// | `completed` | done | retry (by hand), delete |
/// | `discarded` | failed for good: attempts used up | retry (by hand), delete |
/// | `cancelled` | stopped for good: by verdict or by hand | retry (by hand), delete |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// May be claimed.
    Available,
    /// Claimed by a node.
    Executing,
    /// Failed, waits for its next attempt.
    Retryable,
    /// Done.
    Completed,
    /// Failed for good.
    Discarded,
    /// Stopped for good.
    Cancelled,
}

impl State {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Scheduled,
        Self::Available,
        Self::Executing,
        Self::Retryable,
        Self::Completed,
        Self::Discarded,
        Self::Cancelled,
    ];

    /// The state's name in databases, JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Executing => "executing",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the job is over: `completed`, `discarded` or `cancelled`.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Discarded | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A stored job.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Where it is in its life.
    pub state: State,
    /// The queue it waits in.
    pub queue: String,
    /// The worker that runs it.
    pub worker: String,
    /// The worker's fields, as JSON.
    pub input: Value,
    /// The job's own layer of options.
    pub args: ArgMap,
    /// The user's own notes; a handler may change them.
    pub meta: Map<String, Value>,
    /// Labels to filter by.
    pub tags: Vec<String>,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// How many times it has been claimed. With the id it is the fencing token of a run; it never
    /// goes back.
    pub attempt: u32,
    /// How many of those attempts do not count: snoozed, given back, interrupted, or only its handler's.
    pub uncounted: u32,
    /// How many counted attempts it may use.
    pub max_attempts: u32,
    /// How many times it has been snoozed.
    pub snoozes: u32,
    /// How many snoozes it may use before a snooze counts as a retry.
    pub max_snoozes: u32,
    /// When it was inserted.
    pub inserted_at: Timestamp,
    /// When it may run next.
    pub scheduled_at: Timestamp,
    /// When it was claimed last.
    pub attempted_at: Option<Timestamp>,
    /// When it reached a final state.
    pub finished_at: Option<Timestamp>,
    /// The node that runs it, while it is `executing`.
    pub node: Option<String>,
    /// Why it is where it is, unless it simply waits or is done.
    pub reason: Option<String>,
    /// Somebody asked for its cancellation while it was running.
    pub cancel_requested: bool,
    /// Only so many jobs with the same key run at once ([`Limits::per_key`](crate::engine::Limits::per_key)).
    pub concurrency_key: Option<String>,
    /// What the next attempt takes over from earlier ones.
    pub continuation: Continuation,
    /// The trace that its runs continue, as it is stored: a W3C `traceparent`, and behind a space a
    /// `tracestate`. See [`telemetry`](crate::telemetry).
    pub trace: Option<String>,
    /// The last attempt whose claude was seen to start; 0 for none. A claim does not read it.
    pub begun: u32,
    /// What cannot be read in the stored row. Such a job is cancelled when it is claimed.
    pub damage: Option<String>,
}

impl Job {
    /// How many attempts have counted so far, the present one included.
    pub fn counted_attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.uncounted)
    }

    /// The trace that its runs continue. None where the stored text is none.
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.trace.as_ref()?.parse().ok()
    }

    /// How many counted attempts are left.
    pub fn attempts_left(&self) -> u32 {
        self.max_attempts.saturating_sub(self.counted_attempts())
    }
}

/// One failed attempt.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// Which attempt.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// The failure's kind, such as `overloaded`.
    pub kind: String,
    /// What happened, in a sentence.
    pub message: String,
}

/// One attempt's ledger row.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RunRow {
    /// Which attempt.
    pub attempt: u32,
    /// The node that ran it.
    pub node: Option<String>,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it was settled.
    pub finished_at: Timestamp,
    /// The session it ran under, pinned before the start.
    pub session_id: Option<String>,
    /// `success`, or the failure's kind.
    pub outcome: String,
    /// The verdict that was carried out.
    pub verdict: String,
    /// How the process ended: `exit 0`, `signal 9`, `not started`, …
    pub ending: String,
    /// What this attempt cost in US dollars; `None` when unknown, never zero for unknown.
    pub cost_usd: Option<f64>,
    /// Turns of the agent.
    pub turns: Option<u32>,
    /// Tokens.
    pub tokens: Option<Tokens>,
    /// The model that answered.
    pub model: Option<String>,
    /// The CLI's version.
    pub cli_version: Option<String>,
    /// The answer's text.
    pub result: Option<String>,
    /// The structured answer.
    pub structured: Option<Value>,
    /// The last events, each in a few words.
    pub last_events: Vec<String>,
    /// The variables for unattended runs that were in effect.
    pub environment: BTreeMap<String, String>,
}

impl RunRow {
    /// From claim to settlement.
    pub fn duration(&self) -> Duration {
        crate::clock::between(self.started_at, self.finished_at)
    }
}

/// Tokens of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tokens {
    /// Input, not from the cache.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input read from the cache.
    pub cache_read: u64,
    /// Input written to the cache.
    pub cache_creation: u64,
}

impl Tokens {
    /// Adds up, whatever numbers the CLI has printed.
    pub(crate) fn add(&mut self, more: Self) {
        let Self { input, output, cache_read, cache_creation } = more;
        self.input = self.input.saturating_add(input);
        self.output = self.output.saturating_add(output);
        self.cache_read = self.cache_read.saturating_add(cache_read);
        self.cache_creation = self.cache_creation.saturating_add(cache_creation);
    }
}

/// What an insert came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inserted {
    /// The new job; or, for a duplicate, the job that was there.
    pub job: Job,
    /// Whether a unique job was there already, so that nothing was inserted.
    pub duplicate: bool,
}

impl Inserted {
    /// The job's number.
    pub fn id(&self) -> JobId {
        self.job.id
    }
}

/// What became of a row that was to be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Written {
    /// It is a job of this number.
    New(JobId),
    /// Nothing was written: this job holds its key.
    Duplicate(Box<Job>),
}

impl Written {
    /// The number of the job that is there now.
    pub fn id(&self) -> JobId {
        match self {
            Self::New(id) => *id,
            Self::Duplicate(holder) => holder.id,
        }
    }

    /// As the user sees it who asked for that row.
    pub(crate) fn of(self, row: JobRow) -> Inserted {
        match self {
            Self::New(id) => Inserted { job: row.stored_as(id), duplicate: false },
            Self::Duplicate(holder) => Inserted { job: *holder, duplicate: true },
        }
    }
}

/// A job that is ready to be written: checked, its times fixed, its unique key computed.
#[derive(Clone, Debug)]
// Without a database nothing reads these.
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
pub struct JobRow {
    pub(crate) state: State,
    pub(crate) queue: String,
    pub(crate) worker: String,
    pub(crate) input: Value,
    pub(crate) args: ArgMap,
    pub(crate) meta: Map<String, Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) priority: u8,
    pub(crate) max_attempts: u32,
    pub(crate) max_snoozes: u32,
    pub(crate) inserted_at: Timestamp,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) concurrency_key: Option<String>,
    pub(crate) unique: Option<UniqueRow>,
    pub(crate) trace: Option<String>,
}

/// The uniqueness of a job that is ready to be written.
#[derive(Clone, Debug)]
// Without a database nothing reads these.
#[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
pub struct UniqueRow {
    /// A digest of what must not occur twice.
    pub(crate) key: String,
    /// Until when; `None` for always.
    pub(crate) until: Option<Timestamp>,
    /// In which states.
    pub(crate) states: Vec<State>,
}

impl UniqueRow {
    pub(crate) fn new(unique: &Unique, job: &NewJob, now: Timestamp) -> Self {
        Self {
            key: unique.key(job),
            until: unique.period.map(|period| crate::clock::later(now, period)),
            states: unique.states.clone(),
        }
    }
}

impl JobRow {
    /// The job as it is stored under this number.
    pub(crate) fn stored_as(self, id: JobId) -> Job {
        Job {
            id,
            state: self.state,
            queue: self.queue,
            worker: self.worker,
            input: self.input,
            args: self.args,
            meta: self.meta,
            tags: self.tags,
            priority: self.priority,
            attempt: 0,
            uncounted: 0,
            max_attempts: self.max_attempts,
            snoozes: 0,
            max_snoozes: self.max_snoozes,
            inserted_at: self.inserted_at,
            scheduled_at: self.scheduled_at,
            attempted_at: None,
            finished_at: None,
            node: None,
            reason: None,
            cancel_requested: false,
            concurrency_key: self.concurrency_key,
            continuation: Continuation::default(),
            trace: self.trace,
            begun: 0,
            damage: None,
        }
    }
}
