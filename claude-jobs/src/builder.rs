//! [`JobBuilder`]: one job of a known worker, with a setter per claude option and per job setting.

use std::marker::PhantomData;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::definition::Definition;
use crate::error::{Error, Result};
use crate::job::{NewJob, Schedule, State};
use crate::options::{Accept, for_each_option, kind};
use crate::telemetry::TraceContext;
use crate::unique::{Unique, UniqueDefault, UniqueField};
use crate::worker::Worker;

/// A job to insert. `W::new(…)` makes one; [`insert`](Self::insert) writes it.
///
/// What it holds knows nothing of `W` and is as large as a pointer: each method is compiled once per worker
/// that calls it, and so must be next to nothing.
#[derive(Clone, Debug)]
#[must_use = "a job does nothing until it is inserted"]
pub struct JobBuilder<W> {
    draft: Box<Draft>,
    worker: PhantomData<fn() -> W>,
}

/// A job in the making, whatever its worker.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The job, or why there is none.
    job: Result<NewJob, String>,
    /// The worker's own uniqueness, from which the job's begins.
    unique: Option<UniqueDefault>,
}

impl Draft {
    fn new(definition: &Definition, input: serde_json::Result<Value>) -> Box<Self> {
        let job = input
            .map(|input| NewJob::new(definition.name, input))
            .map_err(|error| format!("the fields cannot be written as JSON: {error}"));
        Box::new(Self { job, unique: definition.unique })
    }

    fn unique(&mut self) -> Option<&mut Unique> {
        let of_worker = || Unique::of_worker(self.unique);
        self.job.as_mut().ok().map(|job| job.unique.get_or_insert_with(of_worker))
    }

    fn set_option(&mut self, name: &str, value: Value) {
        if let Ok(job) = &mut self.job {
            job.args.set(name, value);
        }
    }

    fn trace_parent(&mut self, trace_parent: &str) {
        let Ok(job) = &mut self.job else { return };
        match TraceContext::new(trace_parent) {
            Ok(trace) => job.trace = Some(trace),
            Err(error) => {
                self.job = Err(format!("trace_parent `{}`: {error}", trace_parent.escape_default()));
            }
        }
    }

    pub(crate) fn into_new_job(self: Box<Self>) -> Result<NewJob> {
        self.job.map_err(Error::InvalidJob)
    }
}

impl<W: Worker> JobBuilder<W> {
    /// A job with these fields.
    pub fn new(fields: &W) -> Self {
        let draft = Draft::new(W::registration().definition, serde_json::to_value(fields));
        Self { draft, worker: PhantomData }
    }

    /// Puts the job into another queue than the worker's.
    pub fn queue(self, queue: impl Into<String>) -> Self {
        self.with(|job| job.queue = Some(queue.into()))
    }

    /// 0 (first) to 9 (last).
    pub fn priority(self, priority: u8) -> Self {
        self.with(|job| job.priority = Some(priority))
    }

    /// How many counted attempts it may use: 1 to 1,000.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(|job| job.max_attempts = Some(attempts))
    }

    /// How many snoozes it may use before a snooze counts as a retry: 0 to 1,000.
    pub fn max_snoozes(self, snoozes: u32) -> Self {
        self.with(|job| job.max_snoozes = Some(snoozes))
    }

    /// Runs it no sooner than after `delay` (at most 10 years).
    pub fn schedule_in(self, delay: Duration) -> Self {
        self.with(|job| job.schedule = Schedule::In(delay))
    }

    /// Runs it no sooner than at `moment`.
    pub fn schedule_at(self, moment: Timestamp) -> Self {
        self.with(|job| job.schedule = Schedule::At(moment))
    }

    /// Makes it unique by this rule.
    pub fn unique(self, unique: Unique) -> Self {
        self.with(|job| job.unique = Some(unique))
    }

    /// Makes it unique for `period` after insertion (in place of the worker's period).
    pub fn unique_period(self, period: Duration) -> Self {
        self.with_unique(|unique| unique.period = Some(period))
    }

    /// What must be the same for a job to be a duplicate. Where neither the worker nor
    /// [`unique_period`](Self::unique_period) says for how long: for ever.
    pub fn unique_by(self, fields: impl IntoIterator<Item = UniqueField>) -> Self {
        self.with_unique(|unique| unique.by = fields.into_iter().collect())
    }

    /// In which states the first job counts; `scheduled` and `available` must be among them. Where neither the
    /// worker nor [`unique_period`](Self::unique_period) says for how long: for ever.
    pub fn unique_states(self, states: impl IntoIterator<Item = State>) -> Self {
        self.with_unique(|unique| unique.states = states.into_iter().collect())
    }

    /// Runs only so many jobs with the same key at once, on all nodes and in all queues: as many as the
    /// queue's [`Limits::per_key`](crate::engine::Limits::per_key) says, one by default. For what two
    /// jobs must not touch together, such as a repository. 1 to 512 characters.
    pub fn concurrency_key(self, key: impl Into<String>) -> Self {
        self.with(|job| job.concurrency_key = Some(key.into()))
    }

    /// The user's own notes on the job.
    pub fn meta(self, meta: Map<String, Value>) -> Self {
        self.with(|job| job.meta = meta)
    }

    /// Labels to filter by, besides the worker's.
    pub fn tags<S: Into<String>>(self, tags: impl IntoIterator<Item = S>) -> Self {
        self.with(|job| job.tags = tags.into_iter().map(Into::into).collect())
    }

    /// Its runs continue the trace of this W3C `traceparent` header. Default: the trace in which it is
    /// inserted, where this process's tracing is [connected](crate::telemetry::set_propagator). A text that
    /// is none is an [`Error::InvalidJob`] when it is inserted.
    pub fn trace_parent(mut self, trace_parent: &str) -> Self {
        self.draft.trace_parent(trace_parent);
        self
    }

    /// As [`trace_parent`](Self::trace_parent), with a `tracestate`.
    pub fn trace(self, trace: TraceContext) -> Self {
        self.with(|job| job.trace = Some(trace))
    }

    /// The job as a value, for [`Queue::insert_many`](crate::Queue::insert_many).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJob`] when the fields cannot be written as JSON.
    pub fn into_new_job(self) -> Result<NewJob> {
        self.draft.into_new_job()
    }

    pub(crate) fn into_draft(self) -> Box<Draft> {
        self.draft
    }

    fn with(mut self, change: impl FnOnce(&mut NewJob)) -> Self {
        if let Ok(job) = &mut self.draft.job {
            change(job);
        }
        self
    }

    fn with_unique(mut self, change: impl FnOnce(&mut Unique)) -> Self {
        if let Some(unique) = self.draft.unique() {
            change(unique);
        }
        self
    }
}

impl<W: Worker> TryFrom<JobBuilder<W>> for NewJob {
    type Error = Error;

    fn try_from(builder: JobBuilder<W>) -> Result<Self> {
        builder.into_new_job()
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])+ $name:ident: $kind:ident $(, |$query:ident, $value:ident| $apply:expr)?;)*) => {
        /// The claude options, each for this job only. Pinned options of the worker stay as they are.
        impl<W: Worker> JobBuilder<W> {
            $($(#[$doc])+
            #[inline]
            pub fn $name(mut self, value: impl Accept<kind::$kind>) -> Self {
                self.draft.set_option(stringify!($name), value.into_json());
                self
            })*
        }
    };
}
for_each_option!(setters);
