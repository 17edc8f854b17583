//! One run of the CLI, from start to report, on the thread of the runs.
//!
//! The stream is the truth: events are folded into the report as they come, so that a stop loses
//! nothing that was seen.
//!
//! # Memory
//!
//! Standard output is read line by line and not kept: a run costs about three times its longest line (the line, its
//! text, its JSON tree), besides the few events that the report keeps. What is kept of a line is bounded
//! ([`stream`](super::stream)), so that neither the length of a line nor that of the output matters (measured: 50 MiB of
//! events grow the process by 1 MiB).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use claude_wrapper::{ClaudeCommand, OutputFormat, QueryCommand};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::hold::{Hold, Supervision};
use super::liveness::{Limits, Liveness};
use super::lookup::looked_up;
use super::stream::{Ended, Invocation};
use super::{Request, ending, environment, preflight};
use crate::clock::{Clock, Uptime};
use crate::options::PermissionMode;
use crate::outcome::{Ending, NotStarted, Report, StopReason, missing_servers, refusal};
use crate::telemetry::TraceContext;

/// What all runs of a runner share.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) binary: String,
    pub(super) environment: BTreeMap<String, String>,
    /// The variables that the program itself has set for runs.
    pub(super) named: BTreeSet<String>,
    pub(super) grace: Duration,
    pub(super) supervision: Supervision,
    /// Where the CLI keeps its sessions, once somebody has asked.
    pub(super) session_host: OnceLock<String>,
}

pub(super) async fn run(setup: &Arc<Setup>, request: Request) -> Report {
    let mut report = Report::new(request.pinned_session().map(str::to_owned));
    report.environment = environment::in_effect(&setup.environment);
    report.environment.extend(request.trace.iter().flat_map(TraceContext::variables));
    let (shared, options) = (Arc::clone(setup), request.options.clone());
    let check = move || {
        let binary = options.binary.as_deref().unwrap_or(&shared.binary);
        preflight::check(binary, &options, &shared.environment)
    };
    let binary = match looked_up(&request, check).await {
        Ok(Ok(binary)) => binary,
        Ok(Err(why)) => {
            report.ending = Ending::NotStarted(why);
            return report;
        }
        Err(ending) => {
            (report.ending, report.cost_usd) = (ending, Some(0.0));
            return report;
        }
    };
    if request.require_mcp
        && let Some(ended) = rehearse(setup, &request, &binary, &report).await
    {
        return ended;
    }
    let prompt = prompt_text(request.prompt());
    let mut report = drive(setup, &request, &binary, &prompt, report).await;
    report.ended_at = Some(Clock::system().now());
    if request.options.worktree.is_some() {
        let shared = Arc::clone(setup);
        let has_git = looked_up(&request, move || preflight::has_git(&shared.environment)).await;
        report.lacks_git = matches!(has_git, Ok(false));
    }
    if report.unreadable > 0 {
        tracing::warn!(
            lines = report.unreadable,
            "lines that claude printed could not be read and were left out"
        );
    }
    report
}

/// A leading `/` would be read as a command of the CLI; a newline before it is not.
fn prompt_text(prompt: &str) -> String {
    if prompt.starts_with('/') { format!("\n{prompt}") } else { prompt.to_owned() }
}

/// A command of the CLI that makes no request to the API.
const FREE: &str = "/cost";

/// Starts the CLI once for nothing, to see which MCP servers it reaches: when it says so, the first paid request is on
/// its way, and it says nothing before it has its prompt. Returns how the run ends, if it ends here.
async fn rehearse(setup: &Setup, request: &Request, binary: &Path, blank: &Report) -> Option<Report> {
    let mut rehearsal = Request::on(request.options.clone(), request.stop.clone(), request.lease.clone());
    rehearsal.require_mcp = true;
    rehearsal.is_rehearsal = true;
    rehearsal.marker.clone_from(&request.marker);
    rehearsal.database_id = request.database_id;
    rehearsal.access.clone_from(&request.access);
    let options = &mut rehearsal.options;
    // Nothing of it is to remain.
    (options.resume, options.session_id, options.from_pr) = (None, None, None);
    (options.fork_session, options.worktree, options.json_schema) = (None, None, None);
    options.no_session_persistence = Some(true);
    let mut report = drive(setup, &rehearsal, binary, FREE, blank.clone()).await;
    let is_stopped = matches!(report.ending, Ending::Stopped(reason) if reason != StopReason::Rehearsed);
    if !is_stopped {
        // A CLI that refuses to start says why in the paid run that follows.
        return None;
    }
    report.session_id.clone_from(&blank.session_id);
    (report.started, report.cost_usd) = (false, Some(0.0));
    report.ended_at = Some(Clock::system().now());
    Some(report)
}

async fn drive(setup: &Setup, request: &Request, binary: &Path, prompt: &str, mut report: Report) -> Report {
    let mut lease = request.lease.watch();
    let until = *lease.borrow_and_update();
    // This process may have been frozen since it got the job, which is another's by now.
    if until.is_some_and(|until| until <= Uptime::now()) {
        report.ending = Ending::Stopped(StopReason::LeaseLost);
        return report;
    }
    let limits = Limits { idle: request.options.idle_timeout, tool: request.options.tool_timeout };
    let started = Hold::new(setup.grace, &setup.supervision)
        .map_err(|error| pipes_failed(&error))
        .and_then(|hold| Ok((invocation(setup, request, binary, prompt, until, &hold)?, hold)))
        .and_then(|(invocation, hold)| {
            let running = invocation.start().map_err(|error| ending::spawn_failure(&error))?;
            Ok((running, hold))
        });
    let (running, hold) = match started {
        Ok(started) => started,
        Err(why) => {
            report.ending = Ending::NotStarted(why);
            return report;
        }
    };
    let watched = Watched::new(request, report, limits);
    let kill = CancellationToken::new();
    let follow_lease = async {
        while lease.changed().await.is_ok() {
            hold.extend(*lease.borrow_and_update());
        }
        std::future::pending::<StopReason>().await
    };
    let (ended, asked) = {
        let stream = running.finish(prompt, kill.cancelled(), |event| watched.take(&event));
        let mut stream = pin!(stream);
        tokio::select! {
            ended = &mut stream => (ended, None),
            reason = watched.stop_reason() => {
                watched.note(reason);
                (end(request, &hold, stream, &kill).await, Some(reason))
            }
            // Never resolves.
            reason = follow_lease => (end(request, &hold, stream, &kill).await, Some(reason)),
        }
    };
    let mut report = watched.report.into_inner();
    let ending = match ended {
        Ok(Ended { status, said, unreadable }) => {
            (report.stderr, report.unreadable) = (said, unreadable);
            ending::of_status(status)
        }
        Err(error) => Ending::Failed(format!("the CLI's end: {error}")),
    };
    report.ending = settle(request, &hold, ending, &report.stderr, asked).await;
    // It tells its start before it makes a request.
    if report.events == 0 && report.unreadable == 0 {
        report.cost_usd = Some(0.0);
    }
    report
}

fn pipes_failed(error: &io::Error) -> NotStarted {
    match ending::lack(error) {
        Some(lack) => NotStarted::Environment(format!("the run's pipes: {lack}: {error}")),
        None => NotStarted::Refused(format!("the run's pipes: {error}")),
    }
}

/// A run and what is seen of it.
struct Watched<'run> {
    request: &'run Request,
    report: RefCell<Report>,
    liveness: Liveness,
    /// Whether the CLI has a key that does not change: it will not find a better one by itself.
    has_fixed_key: Cell<bool>,
    /// Why the run shall end, by what it has printed.
    end: Cell<Option<StopReason>>,
    ends: Notify,
}

impl<'run> Watched<'run> {
    fn new(request: &'run Request, report: Report, limits: Limits) -> Self {
        Self {
            request,
            report: RefCell::new(report),
            liveness: Liveness::new(limits),
            has_fixed_key: Cell::new(false),
            end: Cell::new(None),
            ends: Notify::new(),
        }
    }

    fn take(&self, event: &Value) {
        let mut report = self.report.borrow_mut();
        report.observe(event);
        self.liveness.heard(&report);
        drop(report);
        // The parts of messages are asked for by us, to know that claude writes.
        if event["type"] == "stream_event" {
            return;
        }
        if let Some(reason) = self.judge(event) {
            self.end.set(Some(reason));
            self.ends.notify_one();
        }
        if let Some(observer) = &self.request.observer {
            observer(event);
        }
    }

    /// Why the run shall end by this event.
    fn judge(&self, event: &Value) -> Option<StopReason> {
        match event["subtype"].as_str().filter(|_| event["type"] == "system")? {
            "init" => {
                self.has_fixed_key.set(event["apiKeySource"] == "ANTHROPIC_API_KEY");
                let missing: Vec<String> = missing_servers(event).collect();
                if !self.request.is_rehearsal || !missing.is_empty() {
                    for problem in &missing {
                        tracing::warn!(problem, "claude runs without an MCP server of its options");
                    }
                }
                match (missing.is_empty(), self.request.require_mcp) {
                    (false, true) => Some(StopReason::McpUnavailable),
                    _ => self.request.is_rehearsal.then_some(StopReason::Rehearsed),
                }
            }
            // A login may have been renewed meanwhile: the CLI reads it again, and is given that one try.
            "api_retry" if refusal(event).is_some() => {
                let is_first = event["attempt"].as_u64().is_some_and(|attempt| attempt < 2);
                (self.has_fixed_key.get() || !is_first).then_some(StopReason::Refused)
            }
            _ => None,
        }
    }

    /// Resolves with the reason when the run is to be stopped.
    async fn stop_reason(&self) -> StopReason {
        tokio::select! {
            reason = self.request.stop.fired() => reason,
            reason = self.liveness.is_over() => reason,
            () = self.ends.notified() => self.end.get().unwrap_or(StopReason::Shutdown),
        }
    }

    /// Keeps what the reason is about.
    fn note(&self, reason: StopReason) {
        if reason == StopReason::ToolTimeout {
            self.report.borrow_mut().overdue_tool = self.liveness.oldest_tool();
        }
    }
}

/// Ends the run in an orderly way, and if that does not help, otherwise. The stream has not ended, so our child is not
/// reaped.
async fn end(
    request: &Request,
    hold: &Hold,
    mut stream: Pin<&mut impl Future<Output = io::Result<Ended>>>,
    kill: &CancellationToken,
) -> io::Result<Ended> {
    if !hold.stop() {
        kill.cancel();
        return stream.await;
    }
    let orderly = async {
        if let Ok(result) = timeout(hold.patience(), &mut stream).await {
            return Some(result);
        }
        timeout(hold.force()?, &mut stream).await.ok()
    };
    let ended = tokio::select! {
        ended = orderly => ended,
        // Nobody wants to wait: the front is killed, and the supervisor ends the run without us.
        () = request.stop.hurried() => None,
    };
    match ended {
        Some(result) => result,
        None => {
            kill.cancel();
            stream.await
        }
    }
}

/// The supervisor knows best how the run ended, where there is one.
async fn settle(
    request: &Request,
    hold: &Hold,
    ending: Ending,
    stderr: &str,
    asked: Option<StopReason>,
) -> Ending {
    #[cfg(supervisor)]
    let verdict = tokio::select! {
        biased;
        verdict = hold.verdict() => verdict,
        () = request.stop.hurried() => None,
    };
    #[cfg(supervisor)]
    match verdict {
        Some(verdict) => return ending::of_supervisor(verdict, ending, asked),
        None if hold.is_supervised() && ending == Ending::Exited(super::supervisor::BROKEN) => {
            return Ending::NotStarted(ending::unsupervised(stderr.trim()));
        }
        None => {}
    }
    let _ = (request, hold, stderr);
    asked.map_or(ending, Ending::Stopped)
}

fn invocation(
    setup: &Setup,
    request: &Request,
    binary: &Path,
    prompt: &str,
    until: Option<Uptime>,
    hold: &Hold,
) -> Result<Invocation, NotStarted> {
    let refused = |error: io::Error| match ending::lack(&error) {
        Some(lack) => NotStarted::Environment(format!("{lack}: {error}")),
        None => NotStarted::Refused(error.to_string()),
    };
    let (program, variable) = hold.program(binary, until).map_err(refused)?;
    let marker = request.marker.iter().map(|marker| (environment::RUN.to_owned(), marker.clone()));
    let database = request.database_id.iter().map(|id| (environment::DATABASE.to_owned(), id.to_string()));
    let mut environment = setup.environment.clone();
    // Without these two nothing works, whatever a password or a file is called.
    let is_kept = |name: &String| setup.named.contains(name) || name == "HOME" || name == "PATH";
    environment.retain(|name, value| is_kept(name) || !request.access.is_in(value));
    environment.extend(marker.chain(database).chain(variable));
    environment.extend(request.trace.iter().flat_map(TraceContext::variables));
    if request.options.is_untrusted {
        let (name, value) = environment::NO_FILE_MENTIONS;
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(Invocation {
        program: program.to_owned(),
        args: query(request, prompt).args(),
        environment,
        working_dir: request.options.working_dir.as_ref().map(PathBuf::from),
        pid: hold.child(),
        grace: hold.grace_of_the_group(),
    })
}

/// For a run that plans over untrusted text. Without it, in plan mode, the CLI may ask a model whether a Bash command
/// that nothing grants is harmless, and run it: 2.1.309 does. With it, such a command is refused.
const NO_COMMANDS_BY_A_MODEL: &str = r#"{"useAutoModeDuringPlan":false}"#;

fn query(request: &Request, prompt: &str) -> QueryCommand {
    let query = QueryCommand::new(prompt).prompt_via_stdin(true).output_format(OutputFormat::StreamJson);
    let mut options = (*request.options).clone();
    let continues = options.resume.is_some() || options.from_pr.is_some();
    if !continues || options.fork_session == Some(true) {
        options.session_id = options.session_id.or_else(|| request.session_id.clone());
    }
    if options.is_untrusted && options.permission_mode == Some(PermissionMode::Plan) {
        // A worker with settings of its own has accepted what they grant.
        options.settings.get_or_insert_with(|| NO_COMMANDS_BY_A_MODEL.to_owned());
    }
    let limits = Limits { idle: options.idle_timeout, tool: options.tool_timeout };
    let query = if limits.need_parts() { query.include_partial_messages() } else { query };
    options.apply(query)
}
