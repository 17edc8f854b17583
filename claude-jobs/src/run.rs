//! The queueless engine: the same merge, run and classification as a job gets, without a database.
//!
//! [`run`] is the whole of it; the executor uses its middle part, [`perform`], for jobs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::classify::{self, Classifier};
use crate::claude::{Claude, ClaudeCli, Observer, Request, RunnerError, Stop};
use crate::clock::Clock;
use crate::error::Result;
use crate::options::{ArgMap, Options};
use crate::outcome::{Asked, Ending, Report, Run, StopReason, judge_asked};
use crate::telemetry::{self, TraceContext, spans};
use crate::verdict::Verdict;

/// How [`run`] runs.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// What runs claude. Default: the real command.
    pub claude: Arc<dyn Claude>,
    /// What proposes the verdict. Default: [`classify::default`].
    pub classifier: Classifier,
    /// Stops the run.
    pub stop: Stop,
    /// Is shown each event as it comes.
    pub observer: Option<Observer>,
    /// The trace that the run continues, where this process's tracing is in none. Default: none.
    pub trace: Option<TraceContext>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            claude: Arc::new(ClaudeCli::default()),
            classifier: classify::default,
            stop: Stop::default(),
            observer: None,
            trace: None,
        }
    }
}

impl RunOptions {
    /// Run with this runner: a [`Claude`], or a closure.
    #[must_use]
    pub fn claude(mut self, claude: impl Claude + 'static) -> Self {
        self.claude = Arc::new(claude);
        self
    }

    /// Show each event to this observer.
    #[must_use]
    pub fn observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunOptions").finish_non_exhaustive()
    }
}

/// Runs claude once with these args, and says what it came to and what a queue would do.
///
/// ```
/// use claude_jobs::options::ArgMap;
/// use claude_jobs::outcome::Report;
/// use claude_jobs::{RunOptions, Verdict};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let scripted = |request: claude_jobs::claude::Request| async move {
///     let event = serde_json::json!({
///         "type": "result", "subtype": "success", "num_turns": 1,
///         "result": format!("you said: {}", request.prompt()),
///     });
///     Ok(Report::from_events([&event], 0))
/// };
/// let args = ArgMap::new().prompt("hello").model("sonnet");
/// let (run, verdict) = claude_jobs::run(args, RunOptions::default().claude(scripted)).await?;
/// assert_eq!(run.text(), "you said: hello");
/// assert_eq!(verdict, Verdict::Complete);
/// # Ok::<_, claude_jobs::Error>(()) }).unwrap();
/// ```
///
/// # Errors
///
/// [`Error::InvalidArgs`](crate::Error::InvalidArgs). A claude that fails is no error.
pub async fn run(args: ArgMap, options: RunOptions) -> Result<(Run, Verdict)> {
    let mut request = Request::new(Options::merge([&args])?);
    request.session_id = Some(uuid::Uuid::now_v7().to_string());
    request.stop = options.stop;
    request.observer = options.observer;
    let run = perform(&*options.claude, request, options.trace.as_ref()).await;
    let verdict = (options.classifier)(&run);
    Ok((run, verdict))
}

/// Runs claude to its end, with the wall-clock limit, and judges what was seen.
///
/// `parent` is where it belongs in a trace.
pub(crate) async fn perform(claude: &dyn Claude, mut request: Request, parent: Option<&TraceContext>) -> Run {
    let span = spans::claude(&request);
    // The span is a child of the present one already; a place of its own is needed where it is none.
    request.trace = telemetry::context_of(&span).or_else(|| parent.cloned());
    let run = watched(claude, request).instrument(span.clone()).await;
    spans::claude_ran(&span, &run);
    run
}

async fn watched(claude: &dyn Claude, request: Request) -> Run {
    let asked = Asked::by(&request.options);
    let session = request.pinned_session().map(str::to_owned);
    let report = match request.options.timeout {
        Some(timeout) => within(timeout, claude, request).await,
        None => claude.run(request).await,
    };
    let mut report = report.unwrap_or_else(|error| {
        let mut report = Report::new(session);
        report.ending = Ending::Custom(error.to_string());
        report
    });
    report.ended_at.get_or_insert_with(|| Clock::system().now());
    judge_asked(report, asked)
}

/// Runs claude, and asks it to stop when its time is over. By a stop of its own: what comes after it, a handler say, is
/// not concerned.
async fn within(
    timeout: Duration,
    claude: &dyn Claude,
    mut request: Request,
) -> std::result::Result<Report, RunnerError> {
    let own = Stop::default();
    let outer = std::mem::replace(&mut request.stop, own.clone());
    let stopping = async {
        let reason = tokio::select! {
            reason = outer.fired() => reason,
            () = tokio::time::sleep(timeout) => StopReason::Timeout,
        };
        own.fire(reason);
        outer.hurried().await;
        own.hurry();
        std::future::pending().await
    };
    tokio::select! {
        biased;
        report = claude.run(request) => report,
        never = stopping => never,
    }
}
