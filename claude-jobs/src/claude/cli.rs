//! [`ClaudeCli`]: the runner that drives the real command.
//!
//! All runs live on one dedicated thread, because a run must outlive the future that awaits it. When that future is
//! dropped (an aborted task, a dropped runtime), the thread stops the run in an orderly way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::ending::spawn_failure;
use super::hold::Wish;
use super::run::{Setup, run};
use super::{
    Claude, Footprint, Problem, Request, RunnerError, Stop, Supervision, checkup, credential, descriptors,
    environment, sessions,
};
use crate::outcome::{Ending, Report, StopReason};

/// Runs the `claude` command. Cheap to clone; clones share one thread.
#[derive(Clone, Debug)]
pub struct ClaudeCli {
    setup: Arc<Setup>,
    thread: Arc<OnceLock<mpsc::UnboundedSender<Start>>>,
}

/// Configures a [`ClaudeCli`].
#[derive(Clone, Debug)]
pub struct ClaudeCliBuilder {
    binary: String,
    only: Option<BTreeSet<String>>,
    overrides: BTreeMap<String, String>,
    grace: Duration,
    wish: Wish,
}

/// A run to start, and where its report goes.
#[derive(Debug)]
struct Start {
    request: Request,
    answer: oneshot::Sender<Report>,
    /// What is logged on the thread of the runs belongs to it.
    span: Span,
}

impl Default for ClaudeCli {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl ClaudeCli {
    /// How long a run that is asked to stop (SIGTERM) may take before it is killed. The CLI stops
    /// stubborn tools after about 1.5 s, then saves transcript and cost.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(3);

    /// A builder with the defaults: `claude` on `PATH`, this process's environment with the
    /// [defaults for unattended runs](environment::DEFAULTS).
    pub fn builder() -> ClaudeCliBuilder {
        ClaudeCliBuilder {
            binary: "claude".to_owned(),
            only: None,
            overrides: BTreeMap::new(),
            grace: Self::DEFAULT_GRACE,
            wish: Wish::default(),
        }
    }

    /// The executable's name or path, where a job does not say otherwise.
    pub fn binary(&self) -> &str {
        &self.setup.binary
    }

    /// The environment that a run gets.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.setup.environment
    }

    /// How this program keeps hold of its runs. Everything but [`Supervision::Supervisor`] weakens what
    /// the queue promises about processes that outlive their run.
    pub fn supervision(&self) -> Supervision {
        self.setup.supervision.clone()
    }

    /// The way to the thread of the runs, which is started with the first of them.
    fn starts(&self) -> io::Result<&mpsc::UnboundedSender<Start>> {
        if let Some(starts) = self.thread.get() {
            return Ok(starts);
        }
        let (sender, starts) = mpsc::unbounded_channel();
        let setup = Arc::clone(&self.setup);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("claude-jobs-runs".to_owned())
            .spawn(move || serve(&runtime, setup, starts))?;
        // Of two that are started at once, one ends without having run anything.
        Ok(self.thread.get_or_init(|| sender))
    }
}

impl ClaudeCliBuilder {
    /// The executable: a path, or a name to look for on `PATH`.
    #[must_use]
    pub fn binary(mut self, binary: impl Into<String>) -> Self {
        self.binary = binary.into();
        self
    }

    /// Sets a variable of the runs' environment, over inherited ones and defaults. The one way in which a run gets a
    /// variable such as `DATABASE_URL`, or one that holds the queue's own URL or password: those are never inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.overrides.insert(name.into(), value.into());
        self
    }

    /// Inherits these variables only, and `HOME` and `PATH`. Default: all of this process's, but for those that belong to
    /// another session and those that lead to the queue: `CLAUDE_JOBS_DATABASE`, `DATABASE_URL`, `PGPASSFILE`, and each
    /// that holds the queue's URL, file or password. What logs claude in must be listed, such as `ANTHROPIC_API_KEY`.
    #[must_use]
    pub fn env_only(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How long a run that is asked to stop may take before it is killed. Default: 3 s. A runtime's lease must be
    /// long enough for it: 60 s are for up to 33 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Keeps hold of runs by their process group even where supervisors are possible: for a program that
    /// must not be started again, under a strict sandbox say. See [`ClaudeCli::supervision`].
    #[must_use]
    pub fn by_process_group(mut self) -> Self {
        self.wish = Wish::ProcessGroup;
        self
    }

    /// Makes supervisors of this program itself, started again, even where the helper program could be
    /// executed from memory: for a machine whose monitors take that for an attack, or whose system call
    /// filter kills who tries (one that answers with an error is no problem). See
    /// [`Supervision::ThisProgram`].
    #[must_use]
    pub fn without_helper(mut self) -> Self {
        self.wish = Wish::ThisProgram;
        self
    }

    /// The runner. The environment is read now.
    pub fn build(self) -> ClaudeCli {
        descriptors::raise_limit();
        let environment = environment::build(self.only.as_ref(), &self.overrides);
        let supervision = Supervision::available(self.wish);
        let setup = Setup {
            binary: self.binary,
            environment,
            named: self.overrides.into_keys().collect(),
            grace: self.grace,
            supervision,
            session_host: OnceLock::new(),
        };
        ClaudeCli { setup: Arc::new(setup), thread: Arc::default() }
    }
}

#[async_trait]
impl Claude for ClaudeCli {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        let (answer, report) = oneshot::channel();
        let mut abandoned = StopOnDrop(Some(request.stop.clone()));
        let starts = match self.starts() {
            Ok(starts) => starts,
            Err(error) => {
                let mut report = Report::new(None);
                report.ending = Ending::NotStarted(spawn_failure(&error));
                return Ok(report);
            }
        };
        starts
            .send(Start { request, answer, span: Span::current() })
            .map_err(|_| "the thread of the runs has ended")?;
        let report = report.await.map_err(|_| "the run's task has panicked")?;
        abandoned.0 = None;
        Ok(report)
    }

    fn grace(&self) -> Duration {
        self.setup.grace
    }

    fn session_host(&self) -> String {
        self.setup.session_host.get_or_init(|| sessions::host(&self.setup.environment)).clone()
    }

    fn has_session(&self, session: &str) -> Option<bool> {
        sessions::has(&self.setup.environment, session)
    }

    fn variables(&self) -> BTreeMap<String, String> {
        self.setup.environment.clone()
    }

    async fn probe(&self) -> Result<(), Problem> {
        checkup::probe(self).await
    }

    fn account(&self) -> String {
        credential::account(&self.setup.environment)
    }

    /// Measured: seven or eight descriptors are open while a run goes on, and six more while it starts; the CLI takes
    /// 240 MB.
    fn footprint(&self) -> Footprint {
        Footprint { descriptors: 14, memory_bytes: 300 * 1024 * 1024 }
    }
}

/// Stops the run when nobody waits for it any more; disarmed at its end, because the stop is the job's:
/// its handler asks it, and a second run of the same attempt obeys it.
struct StopOnDrop(Option<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.fire(StopReason::Shutdown);
        }
    }
}

/// The thread of the runs: starts them as they come, and ends when no runner is left and the last run
/// is over.
fn serve(runtime: &tokio::runtime::Runtime, setup: Arc<Setup>, mut starts: mpsc::UnboundedReceiver<Start>) {
    let runs = TaskTracker::new();
    LocalSet::new().block_on(runtime, async {
        while let Some(Start { request, answer, span }) = starts.recv().await {
            let setup = Arc::clone(&setup);
            runs.spawn_local(async move {
                // Nobody may be waiting any more; the run was stopped then.
                let _ = answer.send(run(&setup, request).instrument(span).await);
            });
        }
        runs.close();
        runs.wait().await;
    });
}
