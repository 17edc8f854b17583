//! [`perform`]: one job of a worker, run without a database.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::script::ScriptedClaude;
use crate::app_state::AppState;
use crate::builder::JobBuilder;
use crate::claude::Request;
use crate::clock::{Clock, between};
use crate::error::{Error, Result};
use crate::executor::{Executor, Leash};
use crate::job::{Job, JobId, JobRow, NewJob, State};
use crate::known::Known;
use crate::options::{ArgMap, Options};
use crate::outcome::{Failure, Run};
use crate::registry::{BoxFuture, Registration, Registry};
use crate::verdict::Verdict;
use crate::worker::Worker;

/// Runs one job of a worker, without a database: the same merge of options, templates, run,
/// classification and handler as in a queue. Nothing is written anywhere; what would have been is in
/// [`Performed`].
///
/// `claude` is an [`Answer`](super::Answer), a [`Script`](super::Script) or a
/// [`&ScriptedClaude`](ScriptedClaude).
///
/// ```standalone_crate
/// use claude_jobs::prelude::*;
/// use claude_jobs::testing::{perform, respond};
///
/// #[claude_worker(queue = "reviews", prompt = "Review PR {number}.", args = { model = "sonnet" })]
/// struct Review { number: u64 }
///
/// impl Handler for Review {
///     async fn handle_result(&self, text: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
///         if text.contains("bug") {
///             cx.enqueue(Fix::new(self.number));
///         }
///         Ok(Verdict::Complete)
///     }
/// }
///
/// #[claude_worker(queue = "fixes", prompt = "Fix PR {number}.")]
/// struct Fix { number: u64 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> claude_jobs::Result<()> {
/// let done = perform(Review::new(87), respond("There is a bug.")).await?;
/// assert_eq!(done.verdict, Verdict::Complete);
/// assert_eq!((done.prompt(), done.options().model.as_deref()), ("Review PR 87.", Some("sonnet")));
/// assert_eq!(done.follow_ons_of::<Fix>()[0].number, 87);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// What [`insert`](JobBuilder::insert) or a runtime's start would refuse: [`Error::InvalidArgs`],
/// [`Error::InvalidJob`], [`Error::Configuration`] for the schema of an output, or for
/// state that the worker declares and was not given. And [`Error::Unscripted`] when
/// claude was asked and had no answer. A run that fails is no error.
pub fn perform<W: Worker>(job: JobBuilder<W>, claude: impl Into<ScriptedClaude>) -> Perform {
    Perform {
        job: job.into_new_job(),
        claude: claude.into(),
        defaults: ArgMap::new(),
        state: AppState::default(),
        attempt: 1,
        clock: Clock::manual(Clock::system().now()),
        worker: W::registration(),
    }
}

/// A job that is about to be [performed](perform()): await it.
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct Perform {
    job: Result<NewJob>,
    claude: ScriptedClaude,
    defaults: ArgMap,
    state: AppState,
    attempt: u32,
    clock: Clock,
    worker: &'static Registration,
}

impl Perform {
    /// Which attempt it is, all counted. Default: the first. A failure of the last one discards the job.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt.max(1);
        self
    }

    /// Options beneath those of the worker and the job, as
    /// [`RuntimeBuilder::args`](crate::runtime::RuntimeBuilder::args). Default: none.
    pub fn args(mut self, args: impl Into<ArgMap>) -> Self {
        self.defaults = args.into();
        self
    }

    /// The application's state for the handler, as [`RuntimeBuilder::state`](crate::runtime::RuntimeBuilder::state).
    /// Default: none.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// The time it is run at. Default: the present moment, on a clock of its own that stands still.
    pub fn on_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    async fn run(self) -> Result<Performed> {
        let mut registry = Registry::linked()?;
        registry.add(self.worker)?;
        let known = Known::new(registry, self.clock.clone(), Uuid::nil());
        Options::check_layer(&self.defaults)?;
        crate::output::check(std::iter::once(self.worker.definition))?;
        self.state.check(self.worker.definition)?;
        let job = claimed(known.row(self.job?, known.now())?, self.attempt, known.now());
        let job = Arc::new(job);
        let claude = self.claude.on_clock(self.clock);
        let asked = claude.count();
        let executor = Executor {
            defaults: self.defaults,
            state: self.state,
            ..Executor::of(known, Arc::new(claude.clone()))
        };
        let prepared = executor.prepare(&job).map_err(|unprepared| Error::InvalidJob(unprepared.problem))?;
        let leash = Leash::default();
        let decision = executor.carry_out(&job, prepared, &leash).await;
        claude.check()?;

        let (verdict, run) = (decision.verdict().cloned(), decision.run.clone());
        let settlement = executor.settlement(&job, decision);
        let mut verdict =
            verdict.unwrap_or_else(|| Verdict::retry(settlement.reason.clone().unwrap_or_default()));
        // A follow-on job that is not valid has the last word, after the handler's.
        if settlement.run.verdict != verdict.name() && settlement.run.verdict == "cancel" {
            verdict = Verdict::cancel(settlement.reason.clone().unwrap_or_default());
        }
        let follow_ons = (job.id.0 + 1..).zip(settlement.follow_ons);
        let follow_ons = follow_ons.map(|(id, row)| row.stored_as(JobId(id)));
        let next = between(settlement.run.finished_at, settlement.scheduled_at);
        Ok(Performed {
            verdict,
            run,
            state: settlement.state,
            runs_again_in: (!settlement.state.is_final()).then_some(next),
            reason: settlement.reason,
            meta: settlement.meta.unwrap_or_else(|| job.meta.clone()),
            follow_ons: follow_ons.collect(),
            requests: claude.requests().split_off(asked),
            now: settlement.run.finished_at,
        })
    }
}

impl IntoFuture for Perform {
    type Output = Result<Performed>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// The job as it would be claimed for this attempt.
fn claimed(row: JobRow, attempt: u32, now: Timestamp) -> Job {
    let mut job = row.stored_as(JobId(1));
    job.state = State::Executing;
    job.attempt = attempt;
    job.attempted_at = Some(now);
    job
}

/// What became of a job that was [performed](perform()).
///
/// [`assert_enqueued!`](crate::assert_enqueued) and [`refute_enqueued!`](crate::refute_enqueued) look at
/// its follow-on jobs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Performed {
    /// The verdict, after the handler's last word. Where the handler failed, a retry whose reason begins with `handler:`:
    /// only the handler would run again.
    pub verdict: Verdict,
    /// The run, as the handler saw it.
    pub run: Run,
    /// The state that the job would go to.
    pub state: State,
    /// After how long it would run again; none when it is over.
    pub runs_again_in: Option<Duration>,
    /// Why it would be where it is, unless it is simply done.
    pub reason: Option<String>,
    /// The job's notes, with the handler's changes.
    pub meta: Map<String, Value>,
    /// The jobs that the handler enqueued, as they would be stored, in order.
    pub follow_ons: Vec<Job>,
    /// What claude was asked: one request, and another where it had to correct a structured answer.
    pub requests: Vec<Request>,
    pub(super) now: Timestamp,
}

impl Performed {
    /// The failure, if the run failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.run.failure()
    }

    /// The prompt that claude was asked with, all templates filled.
    ///
    /// # Panics
    ///
    /// When it was not asked.
    #[track_caller]
    pub fn prompt(&self) -> &str {
        self.request().prompt()
    }

    /// The options that claude was asked with, all layers merged.
    ///
    /// # Panics
    ///
    /// When it was not asked.
    #[track_caller]
    pub fn options(&self) -> &Options {
        &self.request().options
    }

    #[track_caller]
    fn request(&self) -> &Request {
        self.requests.first().expect("claude was asked")
    }

    /// The fields of the follow-on jobs of this worker, in order.
    ///
    /// # Panics
    ///
    /// When they cannot be read back from JSON: the worker's `Serialize` and `Deserialize` disagree.
    #[track_caller]
    pub fn follow_ons_of<F: Worker>(&self) -> Vec<F> {
        let of_worker = self.follow_ons.iter().filter(|job| job.worker == F::registration().definition.name);
        of_worker.map(super::fields_of).collect()
    }
}
