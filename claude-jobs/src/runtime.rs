//! [`Runtime`]: starts one producer per queue and the services beside them, and takes them down in
//! order.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app_state::AppState;
use crate::claude::{Claude, ClaudeCli};
use crate::clock::Uptime;
use crate::engine::{Limits, NodeRow};
use crate::error::{Error, Result};
use crate::event::{Recorder, RunLog};
use crate::executor::Executor;
use crate::job::NewJob;
use crate::node::{self, Sightings, Terms};
use crate::notice::{Notice, Notify};
use crate::options::{ArgMap, Options};
use crate::producer::Producer;
use crate::queue::Queue;
use crate::registry::BoxFuture;
use crate::retention::Retention;
use crate::schedule::Cron;
use crate::secrets::Secrets;
use crate::service;
use crate::worker::Worker;

pub(crate) mod capacity;
mod check;
pub(crate) mod gate;
mod running;
pub(crate) mod shared;
mod signal;
mod tasks;

pub use signal::shutdown_signal;

use gate::Gate;
use running::Running;
use shared::{CONTINUE_WITHIN, Registered, Shared};
use tasks::{Breakdown, Tasks};

/// Runs jobs. [`Runtime::builder`] is the way in.
#[derive(Debug)]
pub enum Runtime {}

impl Runtime {
    /// Configures a runtime over a queue.
    pub fn builder(queue: Queue) -> RuntimeBuilder {
        RuntimeBuilder {
            queue: Ok(queue),
            queues: Vec::new(),
            args: ArgMap::new(),
            state: AppState::default(),
            claude: None,
            grace: Duration::from_secs(30),
            lease: Terms::DEFAULT.lease(),
            ends_when_idle: false,
            stop_runs: Box::pin(std::future::pending()),
            notify: Notify::default(),
            crons: Vec::new(),
            retention: Retention::default(),
            run_log: RunLog::default(),
            continue_within: CONTINUE_WITHIN,
            min_free_memory: capacity::MIN_FREE_MEMORY,
            #[cfg(feature = "metrics")]
            count_queues: None,
        }
    }
}

/// Configures and runs a runtime.
#[must_use = "a runtime does nothing until it is run"]
pub struct RuntimeBuilder {
    queue: Result<Queue>,
    queues: Vec<(String, Limits)>,
    args: ArgMap,
    state: AppState,
    claude: Option<Arc<dyn Claude>>,
    grace: Duration,
    lease: Duration,
    ends_when_idle: bool,
    stop_runs: Pin<Box<dyn Future<Output = ()> + Send>>,
    notify: Notify,
    crons: Vec<(Cron, Result<NewJob>)>,
    retention: Retention,
    run_log: RunLog,
    continue_within: Duration,
    min_free_memory: u64,
    #[cfg(feature = "metrics")]
    count_queues: Option<Duration>,
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RuntimeBuilder").field("queues", &self.queues).finish_non_exhaustive()
    }
}

impl RuntimeBuilder {
    /// Serves a queue: `.queue("review", 4)` runs at most 4 of its jobs at once in this process;
    /// [`Limits`] says more, such as how many at once on all nodes together.
    pub fn queue(mut self, name: impl Into<String>, limits: impl Into<Limits>) -> Self {
        self.queues.push((name.into(), limits.into()));
        self
    }

    /// Options beneath those of every worker and job.
    pub fn args(mut self, args: impl Into<ArgMap>) -> Self {
        self.args = args.into();
        self
    }

    /// Gives handlers a value of the application's, which they find by its type:
    /// [`cx.state::<App>()`](crate::Ctx::state). One value of each type; a second of the same type replaces the first.
    ///
    /// A worker that says `state = App` is only run where there is one: a runtime that serves its queue without does not
    /// start, and one that serves other queues leaves its jobs to others.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// What runs claude. Default: [`ClaudeCli`] with its defaults.
    pub fn claude(mut self, claude: impl Claude + 'static) -> Self {
        self.claude = Some(Arc::new(claude));
        self
    }

    /// Also runs this worker, which need not be linked through the attribute's own registration.
    pub fn register<W: Worker>(mut self) -> Self {
        self.queue = self.queue.and_then(Queue::register::<W>);
        self
    }

    /// How long running jobs may finish after the signal before they are stopped; what becomes of those is their
    /// worker's `on_lost`.
    /// Default: 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long this node's jobs stay its own when it gives no sign of life: paused, hung, or cut from
    /// the database. By then its runs are ended, and other nodes take its jobs over. Default: 60 s, at
    /// least 12 s, at most 30 days.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// For how long a job that is due waits for a node that has the transcript of its session: while no healthy one of
    /// that [host](Claude::session_host) serves the queue. Then any node takes it: the attempt that had not counted counts
    /// after all, and the job starts anew if an attempt is left, else it is `discarded`. Default: 10 min.
    pub fn continue_within(mut self, wait: Duration) -> Self {
        self.continue_within = wait;
        self
    }

    /// Inserts this job whenever the entry is due: one job per tick, however many runtimes have the entry.
    /// The job is a [`JobBuilder`](crate::JobBuilder) or a [`NewJob`]; each carries the tick in its
    /// notes, as `{"cron": {"entry": …, "due": …}}`. The entries of workers with a `cron` of their own
    /// need no call. A runtime that [drains](Self::drain) inserts none.
    ///
    /// The first time that a database sees an entry, or sees it with another expression or time zone,
    /// nothing before that moment counts as missed.
    ///
    /// ```
    /// use claude_jobs::prelude::*;
    /// use claude_jobs::schedule::Cron;
    ///
    /// #[claude_worker(queue = "reviews", max_attempts = 1)]
    /// struct Review { repository: String }
    ///
    /// # fn example(queue: Queue) {
    /// let job = Review::new("api".into(), "Review what was merged yesterday.");
    /// let runtime = Runtime::builder(queue)
    ///     .queue("reviews", 2)
    ///     .cron(Cron::new("review-api", "0 9 * * 1-5").time_zone("Europe/Berlin"), job);
    /// # }
    /// ```
    pub fn cron<J>(mut self, entry: Cron, job: J) -> Self
    where
        J: TryInto<NewJob>,
        Error: From<J::Error>,
    {
        self.crons.push((entry, job.try_into().map_err(Error::from)));
        self
    }

    /// How long jobs that are over are kept. Default: for ever. A runtime that [drains](Self::drain)
    /// removes none.
    pub fn prune(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Counts the jobs in the database this often, for the metric `claude_jobs_queue_jobs`. Default: never: it
    /// reads an entry of an index for every job that there is. One runtime of a fleet is enough.
    #[cfg(feature = "metrics")]
    pub fn count_queues(mut self, every: Duration) -> Self {
        self.count_queues = Some(every);
        self
    }

    /// Ends the grace when this resolves: runs are stopped at once (a second Ctrl-C).
    pub fn stop_runs_when(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.stop_runs = Box::pin(signal);
        self
    }

    /// What is kept of what runs print, in the database, for [`Queue::tail`] and [`Queue::log`]. Where it is not all, reasons,
    /// errors and last events are kept by their kind only; answers are kept. Default: [`RunLog::Full`], contents included;
    /// see [data at rest](crate::event#data-at-rest).
    pub fn run_log(mut self, keeps: RunLog) -> Self {
        self.run_log = keeps;
        self
    }

    /// Claims nothing while less memory than this would be free beside what a run takes, the limit of the control
    /// group included: so many bytes. Default: 512 MiB. Only for runners with a
    /// [footprint](crate::claude::Claude::footprint), such as [`ClaudeCli`], whose runs count 300 MiB each until they
    /// have grown. Besides, nothing is claimed while less than 256 MiB are free below a SQLite database.
    pub fn min_free_memory(mut self, bytes: u64) -> Self {
        self.min_free_memory = bytes;
        self
    }

    /// Tells what happens to each job of this runtime, at once; a second call adds a listener. One must not block; a panic in it is
    /// logged and stops nothing. For what happens on all nodes see [`Queue::events`].
    pub fn on_notice(mut self, listener: impl Fn(&Notice<'_>) + Send + Sync + 'static) -> Self {
        self.notify.add(listener);
        self
    }

    /// The queues that it serves so far.
    #[cfg(feature = "cli")]
    pub(crate) fn served(&self) -> Vec<String> {
        self.queues.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The same, with no queue yet.
    #[cfg(feature = "cli")]
    pub(crate) fn without_queues(mut self) -> Self {
        self.queues.clear();
        self
    }

    /// Runs until `signal` resolves; then claims no more, lets running jobs finish within the grace,
    /// stops the rest in an orderly way: jobs that had not begun are given back, the others go by their worker's
    /// `on_lost`.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`], [`Error::InvalidArgs`] for the runtime's own args,
    /// [`Error::DuplicateWorker`], [`Error::Database`] when the node cannot be registered. [`Error::BrokeDown`] when a
    /// part of the runtime panics, for instance in a [`Claude`] of your own: it then shuts down as it does after `signal`.
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<()> {
        self.run(signal).await
    }

    /// Runs until nothing is due in its queues and nothing runs, on any node. Jobs that wait for
    /// their time (scheduled, snoozed, retries) stay where they are, as do those of a paused queue.
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn drain(mut self) -> Result<()> {
        self.ends_when_idle = true;
        self.run(std::future::pending()).await
    }

    /// As [`drain`](Self::drain), but ends early when `signal` resolves.
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn drain_until(mut self, signal: impl Future<Output = ()>) -> Result<()> {
        self.ends_when_idle = true;
        self.run(signal).await
    }

    async fn run(mut self, signal: impl Future<Output = ()>) -> Result<()> {
        let stop_runs = std::mem::replace(&mut self.stop_runs, Box::pin(std::future::pending()));
        let (grace, ends_when_idle) = (self.grace, self.ends_when_idle);
        let running = self.started().await?;
        tokio::select! {
            () = signal => {}
            () = running.idle(), if ends_when_idle => {}
            () = running.broke_down() => {}
        }
        running.ended(grace, stop_runs).await
    }

    /// On the heap, so that a whole runtime is compiled here, and not anew in the user's program.
    fn started(self) -> BoxFuture<'static, Result<Running>> {
        Box::pin(self.start())
    }

    async fn start(self) -> Result<Running> {
        let queue = self.queue?;
        check::queues(&self.queues)?;
        Options::check_layer(&self.args)?;
        crate::output::check(queue.registry().definitions())?;
        check::state(&queue, &self.state, &self.queues)?;
        check::retention(&queue, self.retention)?;
        let crons = service::cron::entries(&queue, self.crons)?;
        let terms = Terms::of(self.lease).ok_or_else(|| {
            let (lease, shortest) = (self.lease, Terms::SHORTEST);
            Error::Configuration(format!("a lease of {lease:?}: give at least {shortest:?}, at most 30 days"))
        })?;
        let claude = self.claude.unwrap_or_else(|| Arc::new(ClaudeCli::default()));
        check::grace(terms, claude.grace())?;
        let mut secrets = Secrets::of_this_process_and(claude.variables()).without_home();
        queue.engine().access().passwords().for_each(|password| secrets.add(password.to_owned()));
        let secrets = Arc::new(secrets);
        let recorder = Recorder::new(self.run_log, queue.known(), Arc::clone(&secrets));
        let asked = Uptime::now();
        let names: Vec<String> = self.queues.iter().map(|(name, _)| name.clone()).collect();
        let gate = Gate::new(claude.account(), names.clone(), claude.footprint(), self.min_free_memory);
        let node = NodeRow {
            account: gate.account.clone(),
            queues: names.clone(),
            ..node::this_node(terms, claude.session_host(), queue.now())
        };
        queue.engine().renew(&node, false).await?;
        let (begun, starts) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            executor: Executor {
                known: queue.known().clone(),
                claude,
                defaults: self.args,
                notify: self.notify,
                recorder,
                run_log: self.run_log,
                engine: Some(Arc::clone(queue.engine())),
                begun: Some(begun),
                gate: Arc::new(gate),
                secrets,
                state: self.state,
            },
            queue,
            terms,
            continue_within: self.continue_within,
            node: watch::channel(Registered::new(node)).0,
            runs: Mutex::default(),
        });
        let waiting = shared.executor.recorder.waiting();
        service::lease::extend_runs(&shared, asked);
        let (claiming, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let breakdown = Breakdown::default();
        let mut services = Tasks::new(&shutdown, &breakdown);
        let ours = || Arc::clone(&shared);
        // From here on, however long it takes until the first claim.
        let lease_ended = services.try_spawn("service `lease`", |told| service::lease::serve(ours(), told));
        // A predecessor's jobs come before new ones: nothing is idle until they are taken back.
        let mut sightings = match self.ends_when_idle {
            true => Sightings::default(),
            false => Sightings::since(Instant::now()),
        };
        service::rescue::once(&shared, &mut sightings).await?;

        let slots = self.queues.iter().fold(0_u32, |sum, (_, limits)| sum.saturating_add(limits.concurrency));
        service::gate::first(&shared, slots).await?;

        services.spawn("service `gate`", |told| service::gate::serve(ours(), told));
        services.spawn("service `rescue`", |told| service::rescue::serve(ours(), sightings, told));
        services.spawn("service `begun`", |told| service::begun::serve(ours(), starts, told));
        services.spawn("service `cancel`", |told| service::cancel::serve(ours(), told));
        if let Some(waiting) = waiting {
            services.spawn("service `log`", |told| service::log::serve(ours(), waiting, told));
        }
        services.spawn("service `watch`", |told| service::watch::serve(ours(), told));
        #[cfg(feature = "metrics")]
        if let Some(every) = self.count_queues {
            services.spawn("service `count`", |told| service::count::serve(ours(), every, told));
        }
        if !self.ends_when_idle {
            if !crons.is_empty() {
                services.spawn("service `cron`", |told| service::cron::serve(ours(), crons, told));
            }
            services.spawn("service `prune`", |told| service::prune::serve(ours(), self.retention, told));
        }
        let mut producers = Tasks::new(&claiming, &breakdown);
        let mut idle = Vec::new();
        for (name, limits) in self.queues {
            let (sender, receiver) = watch::channel(false);
            idle.push(receiver);
            let part = format!("producer of queue `{name}`");
            let producer = Producer::new(ours(), name, limits, sender);
            producers.spawn(part, |told| producer.serve(told));
        }
        Ok(Running { shared, names, claiming, producers, shutdown, services, lease_ended, breakdown, idle })
    }
}
