//! Running claude: the [`Claude`] trait, what it is asked ([`Request`]) and told ([`Stop`], [`Lease`]), and
//! [`ClaudeCli`], which drives the real command.
//!
//! A runner answers with a [`Report`]: what it saw, without judging it. A claude that fails is a
//! report, not an error.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Uptime;
use crate::engine::Access;
use crate::options::Options;
use crate::outcome::{FailureKind, Report, StopReason};
use crate::telemetry::TraceContext;

pub(crate) mod checkup;
mod cli;
mod credential;
mod descriptors;
mod ending;
pub mod environment;
mod hold;
mod liveness;
mod lookup;
mod preflight;
mod run;
mod sessions;
mod stream;
#[cfg(supervisor)]
mod supervisor;
mod sweep;
mod version;

pub use cli::{ClaudeCli, ClaudeCliBuilder};
pub use hold::Supervision;
pub use preflight::find_binary;
pub(crate) use sweep::sweep;
pub use version::{NEWEST_TESTED, OLDEST_TESTED};

/// An error of a custom runner that it could not express as a report.
pub type RunnerError = Box<dyn std::error::Error + Send + Sync>;

/// Something that runs claude. Implemented by [`ClaudeCli`], and by any closure
/// `Fn(Request) -> impl Future<Output = Result<Report, RunnerError>>`.
#[async_trait]
pub trait Claude: Send + Sync {
    /// Runs claude once, to its end or to a stop: soon after [`Request::stop`] fires it must return, and nothing of the
    /// run be left. A run that does not end keeps its slot, and its runtime from ending.
    ///
    /// # Errors
    ///
    /// Only what the runner cannot put into a report; it cancels the job, because an error that
    /// nobody classified is never re-run blindly.
    async fn run(&self, request: Request) -> Result<Report, RunnerError>;

    /// How long a run that is asked to end may take to do so. Default: no time. The lease of a
    /// [`Runtime`](crate::Runtime) must be long enough for it.
    fn grace(&self) -> Duration {
        Duration::ZERO
    }

    /// Where sessions are kept, so that one can be continued: two runtimes that answer alike can each continue what the
    /// other has begun. Default: the name of this machine.
    fn session_host(&self) -> String {
        host_name()
    }

    /// Whether that session can be continued here. Default: not known.
    fn has_session(&self, session: &str) -> Option<bool> {
        let _ = session;
        None
    }

    /// Variables of the environment that runs get beyond this process's own, so that secrets among them are kept out
    /// of the logs of runs. Default: none.
    fn variables(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Whether claude could run now, for free: asked before the first claim, and after a fault of the machine or the
    /// account until nothing is wrong any more; then one job is tried. Default: nothing is wrong, so that the job is
    /// the probe.
    ///
    /// # Errors
    ///
    /// Reports only what is certainly wrong; a job's run finds out the rest.
    async fn probe(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// Names the account that pays for the runs, without any secret. When claude says of one run that the account has
    /// reached its limit or is not logged in, nothing is claimed for that account on any node. Default: `default`.
    fn account(&self) -> String {
        "default".to_owned()
    }

    /// What a run takes of the machine, asked once a second. No more jobs are claimed than there is room for. Default:
    /// nothing; a runner that says so when the runtime is built is not asked again.
    fn footprint(&self) -> Footprint {
        Footprint::default()
    }
}

/// Why claude cannot run, though it is no job's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is: a kind that has a [fault](FailureKind::fault).
    pub kind: FailureKind,
    /// What was found, and what to do about it.
    pub message: String,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.name(), self.message)
    }
}

/// What a run takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// File descriptors of this process.
    pub descriptors: u32,
    /// Bytes of memory, of all its processes.
    pub memory_bytes: u64,
}

#[async_trait]
impl<F, Running> Claude for F
where
    F: Fn(Request) -> Running + Send + Sync,
    Running: Future<Output = Result<Report, RunnerError>> + Send,
{
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        self(request).await
    }
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a runner is asked to run.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// The merged and checked options; the prompt is there. Boxed, because there are many.
    pub options: Box<Options>,
    /// The name of the worker whose job it is. None outside a queue.
    pub worker: Option<String>,
    /// The session to run under, unless the options name or continue one.
    pub session_id: Option<String>,
    /// `<job>.<attempt>`, put into the environment as `CLAUDE_JOBS_RUN` so that every process of the
    /// run can be told apart. None outside a queue.
    pub marker: Option<String>,
    /// What no variable of the run's environment may hold.
    pub(crate) access: Access,
    /// Whether the run shall end before it is paid for when an MCP server is missing.
    pub require_mcp: bool,
    /// Whether it is only to be seen how the run would start.
    pub(crate) is_rehearsal: bool,
    /// The database of that job, put into the environment as `CLAUDE_JOBS_DATABASE_ID`.
    pub database_id: Option<Uuid>,
    /// Tells when to stop.
    pub stop: Stop,
    /// How long the run may live unless that is extended.
    pub lease: Lease,
    /// Is shown each event as it comes.
    pub observer: Option<Observer>,
    /// Where the run is in a trace, put into the environment as `TRACEPARENT` and `TRACESTATE`.
    pub trace: Option<TraceContext>,
}

/// Is shown each event of a run as it comes. It must not block.
pub type Observer = Arc<dyn Fn(&Value) + Send + Sync>;

impl Request {
    /// A run of these options, outside a queue.
    pub fn new(options: impl Into<Box<Options>>) -> Self {
        Self::on(options.into(), Stop::default(), Lease::default())
    }

    /// A run of these options, ended by these.
    pub(crate) fn on(options: Box<Options>, stop: Stop, lease: Lease) -> Self {
        Self {
            options,
            worker: None,
            session_id: None,
            marker: None,
            access: Access::default(),
            require_mcp: false,
            is_rehearsal: false,
            database_id: None,
            stop,
            lease,
            observer: None,
            trace: None,
        }
    }

    /// The prompt.
    pub fn prompt(&self) -> &str {
        self.options.prompt.as_deref().unwrap_or_default()
    }

    /// The session that will be pinned before the start; none where the CLI chooses or continues one.
    pub fn pinned_session(&self) -> Option<&str> {
        let options = &self.options;
        let continues = options.resume.is_some() || options.from_pr.is_some();
        if options.session_id.is_some() {
            return options.session_id.as_deref();
        }
        if continues && options.fork_session != Some(true) {
            return options.resume.as_deref();
        }
        self.session_id.as_deref()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold the prompt, which may be secret.
        formatter.debug_struct("Request").field("marker", &self.marker).finish_non_exhaustive()
    }
}

/// Tells a run to stop, and why. The first reason stands. Clones are the same stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    token: CancellationToken,
    reason: OnceLock<StopReason>,
    /// Cancelled: the stopped run gets no more grace.
    impatience: CancellationToken,
}

impl Stop {
    /// Asks the run to stop.
    pub fn fire(&self, reason: StopReason) {
        let _ = self.0.reason.set(reason);
        self.0.token.cancel();
    }

    /// Ends the grace of a run that was asked to stop: it is killed now. What it had spent since its
    /// last result stays unknown.
    pub fn hurry(&self) {
        self.0.impatience.cancel();
    }

    /// Resolves when the grace is ended.
    pub async fn hurried(&self) {
        self.0.impatience.cancelled().await;
    }

    /// Why it was asked to stop, if it was.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.reason.get().copied()
    }

    /// Resolves when it is asked to stop.
    pub async fn fired(&self) -> StopReason {
        self.0.token.cancelled().await;
        self.reason().unwrap_or(StopReason::Shutdown)
    }

    /// A token that is cancelled when the run is asked to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.0.token
    }
}

/// How long runs may live, extended again and again by whoever answers for them: a dead man's handle.
/// Clones are the same lease.
///
/// It travels with the [`Request`], so it holds through whatever wraps a runner. [`ClaudeCli`] hands
/// every extension to the run's supervisor, a process of its own: if this process is paused, hung or
/// dead, no extension comes, and the supervisor ends the run so that all its processes are gone by the
/// moment last given. A lease that was never extended has no end.
#[derive(Clone, Debug)]
pub struct Lease(watch::Sender<Option<Uptime>>);

impl Default for Lease {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Lease {
    /// Lets runs live until then. They are asked to end the runner's grace and 2 s before.
    pub fn extend(&self, until: Uptime) {
        self.0.send_replace(Some(until));
    }

    /// Lets runs live for ever.
    pub fn lift(&self) {
        self.0.send_replace(None);
    }

    /// Whether it lasts for at least so long from now.
    pub(crate) fn lasts(&self, time: Duration) -> bool {
        self.0.borrow().is_none_or(|until| until > Uptime::now().plus(time))
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.0.borrow().is_some_and(|until| until <= Uptime::now())
    }

    /// Resolves when it is over.
    pub(crate) async fn ended(&self) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The moment last given, and its changes.
    pub fn watch(&self) -> watch::Receiver<Option<Uptime>> {
        self.0.subscribe()
    }
}
