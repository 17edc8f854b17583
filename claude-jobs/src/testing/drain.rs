//! [`drain`]: runs all that is due, one job at a time, in order.

use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use jiff::Timestamp;

use super::script::ScriptedClaude;
use super::shown;
use crate::app_state::AppState;
use crate::claude::{Request, host_name};
use crate::clock::between;
use crate::engine::{ClaimRequest, Limits};
use crate::error::{Error, Result};
use crate::executor::{Executor, Leash};
use crate::job::{Job, JobRow, RunRow, State};
use crate::node::{Terms, this_node};
use crate::options::{ArgMap, Options};
use crate::queue::Queue;
use crate::registry::BoxFuture;
use crate::worker::Worker;

/// How many runs are enough to say that it never ends, unless the test says otherwise.
const MOST: usize = 1_000;

/// Runs all jobs that are due, and those that they enqueue, until nothing is: one after the other, so that
/// a test has one outcome. It claims, runs and settles as a [`Runtime`](crate::Runtime) does.
///
/// A queue's jobs come by priority, then time, then number; of several queues, first the one whose job has
/// been due for longest. Jobs that wait for their time (scheduled, snoozed, retries) stay until the
/// [clock](Queue::clock) is advanced, or [`through_time`](Drain::through_time) does that. Those of paused
/// queues stay, too.
///
/// `claude` is an [`Answer`](super::Answer), a [`Script`](super::Script) or a
/// [`&ScriptedClaude`](ScriptedClaude).
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use claude_jobs::FailureKind::Overloaded;
/// use claude_jobs::prelude::*;
/// use claude_jobs::testing::{self, drain, fail, respond};
///
/// #[claude_worker(queue = "reviews", prompt = "Review PR {number}.")]
/// struct Review { number: u64 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> claude_jobs::Result<()> {
/// let queue = testing::queue().await?;
/// Review::new(87).insert(&queue).await?;
///
/// assert_eq!(drain(&queue, fail(Overloaded)).await?.retried(), 1);
/// assert_eq!(drain(&queue, respond("Done.")).await?.len(), 0, "it backs off first");
///
/// queue.clock().advance(Duration::from_secs(20));
/// assert_eq!(drain(&queue, respond("Done.")).await?.completed(), 1);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`Error::Unscripted`] when claude was asked and had no answer, or when there were more runs than
/// [`at_most`](Drain::at_most) so many. [`Error::Database`]. [`Error::InvalidArgs`] for args of its own, [`Error::Configuration`] for
/// the schema of a worker's output, or a worker without its state.
pub fn drain(queue: &Queue, claude: impl Into<ScriptedClaude>) -> Drain<'_> {
    Drain {
        queue,
        claude: claude.into(),
        defaults: ArgMap::new(),
        state: AppState::default(),
        only: None,
        most: MOST,
        through_time: false,
    }
}

/// Jobs that are about to be [drained](drain()): await it.
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct Drain<'a> {
    queue: &'a Queue,
    claude: ScriptedClaude,
    defaults: ArgMap,
    state: AppState,
    only: Option<String>,
    most: usize,
    through_time: bool,
}

impl<'a> Drain<'a> {
    /// Options beneath those of the workers and the jobs, as
    /// [`RuntimeBuilder::args`](crate::runtime::RuntimeBuilder::args). Default: none.
    pub fn args(mut self, args: impl Into<ArgMap>) -> Self {
        self.defaults = args.into();
        self
    }

    /// The application's state for handlers, as [`RuntimeBuilder::state`](crate::runtime::RuntimeBuilder::state).
    /// Default: none. A due job whose worker declares state is an error then.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Only jobs of this queue. Default: of all.
    pub fn only(mut self, queue: impl Into<String>) -> Self {
        self.only = Some(queue.into());
        self
    }

    /// Runs at most so many: where more are due then, there may be no end to it, and that is an error.
    /// Default: 1,000.
    pub fn at_most(mut self, runs: usize) -> Self {
        self.most = runs;
        self
    }

    /// Goes on through time: when nothing is due, the clock is advanced to the next job's time, until
    /// nothing waits any more. For queues whose clock is moved by hand, as [`queue`](super::queue()) makes
    /// them; on others it changes nothing.
    pub fn through_time(mut self) -> Self {
        self.through_time = true;
        self
    }

    async fn run(self) -> Result<Drained> {
        Options::check_layer(&self.defaults)?;
        crate::output::check(self.queue.registry().definitions())?;
        let node = this_node(Terms::DEFAULT, host_name(), self.queue.now());
        self.queue.engine().renew(&node, false).await?;
        let claude = self.claude.clone().on_clock(self.queue.clock().clone());
        let executor = Executor {
            defaults: self.defaults.clone(),
            engine: Some(Arc::clone(self.queue.engine())),
            state: self.state.clone(),
            ..Executor::of(self.queue.known().clone(), Arc::new(claude.clone()))
        };
        let mut turns = Turns { drain: &self, node: node.id.clone(), executor, claude, runs: Vec::new() };
        let result = turns.take_all().await;
        let runs = turns.runs;
        self.queue.engine().retire(&node.id).await?;
        result.map(|()| Drained { runs })
    }
}

impl<'a> IntoFuture for Drain<'a> {
    type Output = Result<Drained>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

struct Turns<'a> {
    drain: &'a Drain<'a>,
    node: String,
    executor: Executor,
    claude: ScriptedClaude,
    runs: Vec<DrainedRun>,
}

impl Turns<'_> {
    async fn take_all(&mut self) -> Result<()> {
        loop {
            let before = self.runs.len();
            let waiting = self.waiting().await?;
            let now = self.drain.queue.now();
            let due = || waiting.iter().filter(|job| job.scheduled_at <= now);
            for worker in due().filter_map(|job| self.executor.known.registry.get(&job.worker).ok()) {
                self.drain.state.check(worker.definition)?;
            }
            let mut queues: VecDeque<String> = due().map(|job| job.queue.clone()).collect();
            while let Some(queue) = queues.pop_front() {
                match self.claim(&queue).await? {
                    Some(job) => queues.extend(self.execute(job).await?),
                    // Paused, or of workers that are not known here.
                    None => queues.retain(|other| *other != queue),
                }
            }
            if self.runs.len() == before && !self.pass_time(&waiting) {
                return Ok(());
            }
        }
    }

    /// The jobs that wait, first the one that is due first.
    async fn waiting(&self) -> Result<Vec<Job>> {
        let queue = self.drain.queue;
        let mut waiting = Vec::new();
        for state in [State::Available, State::Scheduled, State::Retryable] {
            waiting.extend(super::jobs(queue, Some(state)).await?);
        }
        waiting.retain(|job| self.drain.only.as_ref().is_none_or(|only| job.queue == *only));
        waiting.sort_by_key(|job| (job.scheduled_at, job.priority, job.id));
        Ok(waiting)
    }

    /// Advances the clock to the next job that waits for its time, if that is wanted and there is one.
    fn pass_time(&self, waiting: &[Job]) -> bool {
        let (clock, now) = (self.drain.queue.clock(), self.drain.queue.now());
        let stopped = self.executor.gate.stopped_until(now).filter(|_| !waiting.is_empty());
        let due = waiting.iter().map(|job| job.scheduled_at).filter(|moment| *moment > now);
        let next = due.chain(stopped).min();
        match next {
            Some(next) if self.drain.through_time && clock.is_manual() => {
                clock.advance(between(now, next));
                true
            }
            _ => false,
        }
    }

    async fn claim(&self, name: &str) -> Result<Option<Job>> {
        let queue = self.drain.queue;
        // As on a machine of its own: what a run has met of the machine or the account stops the others.
        let gate = &self.executor.gate;
        if gate.stopped_until(queue.now()).is_some() || gate.is_shut() {
            return Ok(None);
        }
        let (workers, node) = (self.executor.workers(), &*self.node);
        let (limits, now) = (Limits::local(1), queue.now());
        let request = ClaimRequest {
            queue: name,
            node,
            workers: &workers,
            limits,
            running: 0,
            ahead: 0,
            host: &host_name(),
            at_most: 1,
            account: "",
            now,
        };
        Ok(queue.engine().claim(&request).await?.jobs.pop())
    }

    /// Runs a job, and answers with the queues of those that it has made due.
    async fn execute(&mut self, job: Job) -> Result<Vec<String>> {
        let (id, engine) = (job.id, self.drain.queue.engine());
        let most = self.drain.most;
        if self.runs.len() == most {
            let next = shown::name(&job);
            let text =
                format!("{most} jobs have run and more are due, the next is {next}: is there an end to it?");
            let given_back = self.executor.give_back(Arc::new(job)).settlement;
            engine.settle(&[given_back], self.drain.queue.now()).await?;
            return Err(Error::Unscripted(text));
        }
        let asked = self.claude.count();
        let leash = Leash::default();
        let gate = Arc::clone(&self.executor.gate);
        gate.admit(&job, || 0);
        let job = Arc::new(job);
        let finished = self.executor.execute(Arc::clone(&job), leash).await;
        gate.ended(&job);
        engine.settle(std::slice::from_ref(&finished.settlement), self.drain.queue.now()).await?;
        self.claude.check()?;
        let job = engine.job(id).await?.ok_or(Error::NoSuchJob(id))?;
        let requests = self.claude.requests().split_off(asked);
        let settlement = finished.settlement;
        self.runs.push(DrainedRun { job, run: settlement.run, requests });
        let only = self.drain.only.as_ref();
        let is_due =
            |row: &JobRow| row.state == State::Available && only.is_none_or(|only| row.queue == *only);
        Ok(settlement.follow_ons.into_iter().filter(is_due).map(|row| row.queue).collect())
    }
}

/// What a [drain](drain()) has run. Printed, it is a table of the runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Drained {
    /// Each run, in order. A job that ran again has several.
    pub runs: Vec<DrainedRun>,
}

/// One run of a [drain](drain()), and what became of its job.
#[derive(Debug)]
#[non_exhaustive]
pub struct DrainedRun {
    /// The job, as it was right after the run.
    pub job: Job,
    /// The run's row in the ledger.
    pub run: RunRow,
    /// What claude was asked; nothing where the job could not start.
    pub requests: Vec<Request>,
}

impl Drained {
    /// How many runs there were.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether nothing was due.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many runs completed their job.
    pub fn completed(&self) -> usize {
        self.ended(State::Completed)
    }

    /// After how many runs the job waits for another attempt.
    pub fn retried(&self) -> usize {
        self.ended(State::Retryable)
    }

    /// After how many runs the job waits without having used an attempt.
    pub fn snoozed(&self) -> usize {
        self.ended(State::Scheduled)
    }

    /// How many runs ended in the cancellation of their job.
    pub fn cancelled(&self) -> usize {
        self.ended(State::Cancelled)
    }

    /// How many runs used up the attempts of their job.
    pub fn discarded(&self) -> usize {
        self.ended(State::Discarded)
    }

    /// What all runs together cost in US dollars, as far as it is known.
    pub fn cost_usd(&self) -> f64 {
        self.runs.iter().filter_map(|run| run.run.cost_usd).sum()
    }

    /// The runs of this worker's jobs, in order.
    pub fn of<W: Worker>(&self) -> Vec<&DrainedRun> {
        self.runs.iter().filter(|run| run.job.worker == W::registration().definition.name).collect()
    }

    fn ended(&self, state: State) -> usize {
        self.runs.iter().filter(|run| run.job.state == state).count()
    }
}

impl DrainedRun {
    /// The prompt that claude was asked with.
    ///
    /// # Panics
    ///
    /// When it was not asked.
    #[track_caller]
    pub fn prompt(&self) -> &str {
        self.requests.first().expect("claude was asked").prompt()
    }

    /// The job's fields.
    ///
    /// # Panics
    ///
    /// When the job is another worker's.
    #[track_caller]
    pub fn fields<W: Worker>(&self) -> W {
        super::fields_of(&self.job)
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs.is_empty() {
            return formatter.write_str("nothing was due");
        }
        for (index, DrainedRun { job, run, .. }) in self.runs.iter().enumerate() {
            let (end, outcome, state) = (if index == 0 { "" } else { "\n" }, &run.outcome, job.state);
            write!(formatter, "{end}{}: {outcome}, {state}", shown::name(job))?;
            if let Some(reason) = &job.reason {
                write!(formatter, " ({})", shown::short(reason))?;
            }
        }
        Ok(())
    }
}

/// Lets this much time pass while the schedules of the linked workers are served: whenever a worker with
/// `cron` is due on the way, its job is inserted, as a [`Runtime`](crate::Runtime) does. Nothing is run.
///
/// Time that was passed otherwise (by [`Clock::advance`](crate::clock::Clock::advance)) counts as missed:
/// no runtime was there.
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use claude_jobs::prelude::*;
/// use claude_jobs::testing::{self, assert_enqueued, elapse};
///
/// #[claude_worker(queue = "digests", cron = "0 9 * * *", prompt = "Summarize yesterday.")]
/// struct DailyDigest;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> claude_jobs::Result<()> {
/// let queue = testing::queue().await?;
/// elapse(&queue, Duration::from_secs(3 * 86_400)).await?;
/// assert_enqueued!(queue, DailyDigest, count = 3);
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`Error::Configuration`] when the queue's clock is not moved by hand; [`Error::Database`].
pub async fn elapse(queue: &Queue, time: std::time::Duration) -> Result<()> {
    use crate::service::cron;
    let clock = queue.clock();
    if !clock.is_manual() {
        let text = "the queue goes by the system's clock: give it one that is moved by hand (`with_clock`)";
        return Err(Error::Configuration(text.to_owned()));
    }
    let end: Timestamp = crate::clock::later(clock.now(), time);
    let mut entries = cron::entries(queue, Vec::new())?;
    cron::once(queue, &mut entries).await?;
    while let Some(next) = cron::next(&entries, clock.now()).filter(|next| *next <= end) {
        clock.advance(between(clock.now(), next));
        cron::once(queue, &mut entries).await?;
    }
    clock.advance(between(clock.now(), end));
    Ok(())
}
