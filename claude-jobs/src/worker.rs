//! What a worker is: its [`Definition`] (from the attribute), the optional [`Handler`], and the
//! [`Ctx`] a handler works with.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::builder::JobBuilder;
use crate::classify::{self, Classifier};
use crate::error::Result;
use crate::job::{Job, NewJob};
use crate::options::Args;
use crate::outcome::{Failure, Run};
use crate::registry::Registration;
use crate::settlement::{self, Backoff};
use crate::unique::UniqueDefault;
use crate::verdict::Verdict;

/// A job type. `#[claude_worker]` implements it; nobody else needs to.
pub trait Worker: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What a successful run gives to the handler: the answer's text, unless the attribute says
    /// `output = Type`.
    type Output: Send;

    /// What the attribute says.
    const DEFINITION: Definition;

    /// Reads the output from a successful run.
    ///
    /// # Errors
    ///
    /// A sentence that says why the answer is not an `Output`.
    fn output(run: &Run) -> Result<Self::Output, String>;

    /// How a runtime finds and runs this worker.
    fn registration() -> &'static Registration;
}

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

/// What a worker does with the outcome of a run. Optional: without an impl, the classifier's verdict
/// stands. Implementing it is the whole registration.
pub trait Handler: Worker {
    /// After a successful run. The default completes the job.
    fn handle_result(
        &self,
        output: Self::Output,
        run: &Run,
        cx: &mut Ctx,
    ) -> impl Future<Output = Verdict> + Send {
        let _ = (output, run, cx);
        async { Verdict::Complete }
    }

    /// After a failed run, with the classifier's verdict. The default lets it stand.
    fn handle_error(
        &self,
        verdict: Verdict,
        failure: &Failure,
        cx: &mut Ctx,
    ) -> impl Future<Output = Verdict> + Send {
        let _ = (failure, cx);
        async { verdict }
    }
}

/// What a handler works with: the job, the jobs it wants to follow, the notes it leaves.
///
/// Follow-on jobs and notes are written in the same transaction as the verdict, or not at all.
#[derive(Debug)]
pub struct Ctx {
    job: Arc<Job>,
    meta: Map<String, Value>,
    follow_ons: Vec<Result<NewJob>>,
    cancellation: CancellationToken,
}

impl Ctx {
    pub(crate) fn new(job: Arc<Job>, cancellation: CancellationToken) -> Self {
        let meta = job.meta.clone();
        Self { job, meta, follow_ons: Vec::new(), cancellation }
    }

    /// The job, as it was claimed.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// The job's notes. Changes are stored with the verdict.
    pub fn meta(&mut self) -> &mut Map<String, Value> {
        &mut self.meta
    }

    /// Inserts a job together with the verdict. A job that is not valid turns the verdict into a
    /// cancellation that says so.
    pub fn enqueue<W: Worker>(&mut self, job: JobBuilder<W>) {
        self.follow_ons.push(job.into_new_job());
    }

    /// Inserts a job by its worker's name together with the verdict.
    pub fn enqueue_job(&mut self, job: NewJob) {
        self.follow_ons.push(Ok(job));
    }

    /// Tells when the run is to stop: the job was cancelled, or the runtime is shutting down.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    pub(crate) fn into_parts(self) -> (Map<String, Value>, Vec<Result<NewJob>>) {
        (self.meta, self.follow_ons)
    }
}

/// The longest backoff that a worker's own function may ask for: 30 days.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30 * 86_400);
