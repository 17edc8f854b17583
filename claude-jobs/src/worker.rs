//! What a worker is, the optional [`Handler`], and the [`Ctx`] a handler works with.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::app_state::AppState;
use crate::builder::JobBuilder;
use crate::definition::Definition;
use crate::describe::Description;
use crate::error::Result as JobResult;
use crate::job::{Job, JobId, NewJob};
use crate::outcome::{Failure, Run};
use crate::output::Mismatch;
use crate::registry::Registration;
use crate::telemetry::{TraceContext, context_of};
use crate::verdict::Verdict;

mod error;

pub use error::{HandlerError, Result};

/// A job type. `#[claude_worker]` implements it; nobody else needs to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no worker",
    label = "this is no worker",
    note = "put `#[claude_worker(queue = \"…\")]` on `{Self}`"
)]
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
    /// Why the answer is not an `Output`.
    fn output(run: &Run) -> Result<Self::Output, Mismatch>;

    /// Shows the values that its templates name, in the order of [`Definition::placeholders`].
    fn show_values(&self, show: &mut dyn FnMut(&dyn Display)) {
        let _ = show;
    }

    /// The definition as data, for people and tools.
    fn describe() -> Description
    where
        Self: Sized,
    {
        Description::from(&Self::DEFINITION)
    }

    /// How a runtime finds and runs this worker.
    fn registration() -> &'static Registration;
}

/// What a worker does with the outcome of a run. Optional: without an impl, the classifier's verdict
/// stands. Implementing it is the whole registration.
///
/// # At least once
///
/// What claude has answered is stored before a handler is asked. A handler that returns an error, panics, or whose process
/// dies has failed: it runs again with the stored answer, after the worker's backoff; claude does not. So a handler runs at
/// least once for an answer, and what it does elsewhere should bear repetition: `(job id, attempt of the answer)`,
/// [`Ctx::answer_key`], is the idempotency key. After `max_handler_attempts` failures (default 5) the job is `discarded`
/// with a reason that begins with `handler:`; the answer is kept, and
/// [`Queue::retry_handler`](crate::Queue::retry_handler) runs the handler once more. Follow-on jobs and notes of a failed
/// handler are not written.
///
/// It is not asked where there is nothing to decide: the job was cancelled (`cancelled`), the run was interrupted
/// (`shutdown`, `lost`), the job's fields cannot be read.
pub trait Handler: Worker {
    /// After a successful run. The default completes the job.
    ///
    /// # Errors
    ///
    /// Whatever went wrong: this handler runs again, with the same answer.
    fn handle_result(
        &self,
        output: Self::Output,
        run: &Run,
        cx: &mut Ctx,
    ) -> impl Future<Output = Result<Verdict>> + Send {
        let _ = (output, run, cx);
        async { Ok(Verdict::Complete) }
    }

    /// After a failed run, with the classifier's verdict; also where the job's options cannot run (`invalid_args`), in
    /// which case claude was not asked. The default lets the verdict stand.
    ///
    /// # Errors
    ///
    /// Whatever went wrong: this handler runs again, with the same run.
    fn handle_error(
        &self,
        verdict: Verdict,
        failure: &Failure,
        run: &Run,
        cx: &mut Ctx,
    ) -> impl Future<Output = Result<Verdict>> + Send {
        let _ = (failure, run, cx);
        async { Ok(verdict) }
    }
}

/// What a handler works with: the job, the jobs it wants to follow, the notes it leaves.
///
/// Follow-on jobs and notes are written in the same transaction as the verdict, or not at all.
#[derive(Debug)]
pub struct Ctx {
    job: Arc<Job>,
    meta: Map<String, Value>,
    follow_ons: Vec<JobResult<NewJob>>,
    answered_in: u32,
    state: AppState,
    cancellation: CancellationToken,
    trace: Option<TraceContext>,
}

impl Ctx {
    pub(crate) fn new(job: Arc<Job>, cancellation: CancellationToken, trace: Option<TraceContext>) -> Self {
        let (meta, answered_in) = (job.meta.clone(), job.attempt);
        let state = AppState::default();
        Self { job, meta, follow_ons: Vec::new(), answered_in, state, cancellation, trace }
    }

    /// With the application's state.
    pub(crate) fn with_state(mut self, state: AppState) -> Self {
        self.state = state;
        self
    }

    /// The job, as it was claimed.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// The how-manieth time the handler runs for this answer, from 1. A time that was cut short by a shutdown does not
    /// count.
    pub fn handler_attempt(&self) -> u32 {
        let continuation = &self.job.continuation;
        if continuation.answered { continuation.failed_handlers.saturating_add(1) } else { 1 }
    }

    /// The idempotency key of this answer, for what the handler does elsewhere: the job, and the attempt in which claude
    /// has answered. The same each time the handler runs for this answer.
    pub fn answer_key(&self) -> (JobId, u32) {
        (self.job.id, self.answered_in)
    }

    /// For an answer that an earlier attempt was given.
    pub(crate) fn answered_in(mut self, attempt: u32) -> Self {
        self.answered_in = attempt;
        self
    }

    /// The application's state of this type: a pool of database connections, an HTTP client, settings. It is given with
    /// [`RuntimeBuilder::state`](crate::runtime::RuntimeBuilder::state).
    ///
    /// A worker whose handler needs it says so (`state = App`): a runtime that serves the worker without it does not
    /// start.
    ///
    /// # Panics
    ///
    /// Where the runtime has no state of this type, which only happens to a worker that does not declare it. As any panic
    /// of a handler: it runs again, at most `max_handler_attempts` times.
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(&self) -> Arc<T> {
        self.state.get().unwrap_or_else(|| {
            let (asked, state) = (std::any::type_name::<T>(), &self.state);
            panic!(
                "no `{asked}` for this handler: {state}; declare it in the worker's attribute: `state = …`"
            )
        })
    }

    /// The job's notes. Changes are stored with the verdict.
    pub fn meta(&mut self) -> &mut Map<String, Value> {
        &mut self.meta
    }

    /// Inserts a job together with the verdict. A job that is not valid turns the verdict into a
    /// cancellation that says so.
    pub fn enqueue<W: Worker>(&mut self, job: JobBuilder<W>) {
        self.follow(job.into_new_job());
    }

    /// Inserts a job by its worker's name together with the verdict.
    pub fn enqueue_job(&mut self, job: NewJob) {
        self.follow(Ok(job));
    }

    /// A job without a trace of its own continues that of the run.
    fn follow(&mut self, mut job: JobResult<NewJob>) {
        if let Ok(job) = &mut job {
            let here = || context_of(&tracing::Span::current()).or_else(|| self.trace.clone());
            job.trace = job.trace.take().or_else(here);
        }
        self.follow_ons.push(job);
    }

    /// Where this run is in its job's trace, for what the handler starts elsewhere. None where it belongs to
    /// no trace.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// Tells when the handler is to end: the job was cancelled, or the runtime is shutting down and its grace is over.
    /// One that is still there 10 s later is given up: after a shutdown it runs again elsewhere, with the same answer.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    pub(crate) fn into_parts(self) -> (Map<String, Value>, Vec<JobResult<NewJob>>) {
        (self.meta, self.follow_ons)
    }
}
