//! One run of the CLI, from start to report, on the thread of the runs.
//!
//! The stream is the truth: events are folded into the report as they come, so that a stop loses
//! nothing that was seen. The wrapper's own classes of errors are not used (they go by substrings);
//! only the exit code and standard error are taken from them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use claude_wrapper::streaming::{StreamEvent, stream_query_cancellable};
use claude_wrapper::{Error, OutputFormat, QueryCommand};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Request, preflight};
use crate::outcome::{Ending, NotStarted, Report, StopReason};

/// What all runs of a runner share.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) binary: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) grace: Duration,
}

/// The most that a run may print, on standard output and on standard error each.
pub(super) const OUTPUT_LIMIT: usize = 256 * 1024 * 1024;

/// The most of standard error that a report keeps.
const STDERR_KEPT: usize = 16 * 1024;

/// Prompts above the pipe's capacity can break the pipe when the CLI refuses to start, and then its
/// reason is lost.
const PIPE_CAPACITY: usize = 64 * 1024;

pub(super) async fn run(setup: &Setup, request: Request) -> Report {
    let mut report = Report::new(request.pinned_session().map(str::to_owned));
    let binary = request.options.binary.as_deref().unwrap_or(&setup.binary);
    let working_dir = request.options.working_dir.as_deref();
    let binary = match preflight::check(binary, working_dir, &setup.environment) {
        Ok(binary) => binary,
        Err(why) => {
            report.ending = Ending::NotStarted(why);
            return report;
        }
    };
    let prompt = prompt_text(request.prompt());
    let broke_pipe = |report: &Report| matches!(&report.ending, Ending::Failed(why) if why == BROKEN_PIPE);
    let report = drive(setup, &request, &binary, &prompt, report).await;
    if broke_pipe(&report) && prompt.len() > PIPE_CAPACITY && report.events == 0 {
        return ask_for_the_reason(setup, &request, &binary, report).await;
    }
    report
}

/// A leading `/` would be read as a command of the CLI; a newline before it is not.
fn prompt_text(prompt: &str) -> String {
    if prompt.starts_with('/') { format!("\n{prompt}") } else { prompt.to_owned() }
}

/// The CLI refused to start before it had read the prompt. The same arguments with a blank prompt
/// cost nothing and say why; if they are fine, it says that the prompt is blank.
async fn ask_for_the_reason(setup: &Setup, request: &Request, binary: &Path, first: Report) -> Report {
    let second = drive(setup, request, binary, " ", first.clone()).await;
    if second.stderr.contains("only whitespace") { first } else { second }
}

async fn drive(setup: &Setup, request: &Request, binary: &Path, prompt: &str, report: Report) -> Report {
    let report = RefCell::new(report);
    let last_event = Cell::new(Instant::now());
    let kill = CancellationToken::new();
    let pid = Arc::new(AtomicU32::new(0));
    let claude = match client(setup, request, binary, Arc::clone(&pid)) {
        Ok(claude) => claude,
        Err(error) => {
            let mut report = report.into_inner();
            report.ending = Ending::Failed(error.to_string());
            return report;
        }
    };
    let query = query(request, prompt);
    let (result, stopped) = {
        let stream = stream_query_cancellable(&claude, &query, kill.cancelled(), |event: StreamEvent| {
            last_event.set(Instant::now());
            report.borrow_mut().observe(&event.data);
            if let Some(observer) = &request.observer {
                observer(&event.data);
            }
        });
        let mut stream = pin!(stream);
        tokio::select! {
            result = &mut stream => (result, None),
            reason = stop_reason(request, &last_event) => {
                // The stream has not ended, so the child is not reaped and its group id is its own.
                terminate(pid.load(Ordering::SeqCst));
                let in_time = tokio::select! {
                    result = timeout(setup.grace, &mut stream) => result.ok(),
                    () = request.stop.hurried() => None,
                };
                let result = match in_time {
                    Some(result) => result,
                    None => { kill.cancel(); stream.await }
                };
                (result, Some(reason))
            }
        }
    };
    let mut report = report.into_inner();
    let (ending, stderr) = ending(result);
    report.ending = stopped.map_or(ending, Ending::Stopped);
    report.stderr = kept(stderr);
    report
}

/// Resolves with the reason when the run is to be stopped: asked from outside, or silent too long.
async fn stop_reason(request: &Request, last_event: &Cell<Instant>) -> StopReason {
    let silence = async {
        let Some(most) = request.options.idle_timeout else { return std::future::pending().await };
        loop {
            let deadline = last_event.get() + most;
            if deadline <= Instant::now() {
                return StopReason::IdleTimeout;
            }
            sleep_until(deadline).await;
        }
    };
    tokio::select! {
        reason = request.stop.fired() => reason,
        reason = silence => reason,
    }
}

fn terminate(pid: u32) {
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have just ended; then there is nothing to stop.
        let _ = kill_process_group(group, Signal::TERM);
    }
}

fn client(
    setup: &Setup,
    request: &Request,
    binary: &Path,
    pid: Arc<AtomicU32>,
) -> claude_wrapper::Result<claude_wrapper::Claude> {
    let marker = request.marker.iter().map(|marker| ("CLAUDE_JOBS_RUN".to_owned(), marker.clone()));
    let environment = setup.environment.clone().into_iter().chain(marker);
    let mut builder = claude_wrapper::Claude::builder()
        .binary(binary)
        .clear_env()
        .envs(environment)
        .output_limit(OUTPUT_LIMIT)
        .on_spawn(Arc::new(move |info| {
            pid.store(info.pid, Ordering::SeqCst);
        }));
    if let Some(folder) = &request.options.working_dir {
        builder = builder.working_dir(PathBuf::from(folder));
    }
    builder.build()
}

fn query(request: &Request, prompt: &str) -> QueryCommand {
    let query = QueryCommand::new(prompt).prompt_via_stdin(true).output_format(OutputFormat::StreamJson);
    let mut options = request.options.clone();
    let continues = options.resume.is_some() || options.from_pr.is_some();
    if !continues || options.fork_session == Some(true) {
        options.session_id = options.session_id.or_else(|| request.session_id.clone());
    }
    options.apply(query)
}

const BROKEN_PIPE: &str = "the CLI closed its standard input before it had read the prompt";

/// How the process ended and what it wrote to standard error, whatever class of error the wrapper
/// made of it.
fn ending(result: claude_wrapper::Result<claude_wrapper::CommandOutput>) -> (Ending, String) {
    let exited = |code: i32| if code < 0 { Ending::Signalled } else { Ending::Exited(code) };
    match result {
        Ok(output) => (exited(output.exit_code), output.stderr),
        Err(Error::CommandFailed { exit_code, stdout, stderr, .. }) => {
            // Lines that were no events may hold the reason.
            let said = if stderr.trim().is_empty() { stdout } else { stderr };
            (exited(exit_code), said)
        }
        Err(Error::Auth { exit_code, message, .. }) => (exited(exit_code), message),
        Err(Error::Io { message, source, .. }) if message.starts_with("failed to spawn") => {
            (Ending::NotStarted(spawn_failure(&source)), String::new())
        }
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            (Ending::Failed(BROKEN_PIPE.to_owned()), String::new())
        }
        Err(Error::Io { message, source, .. }) => {
            (Ending::Failed(format!("{message}: {source}")), String::new())
        }
        Err(Error::OutputLimitExceeded { stream, limit_bytes }) => {
            (Ending::OutputLimit(format!("more than {limit_bytes} bytes on {stream}")), String::new())
        }
        Err(other) => (Ending::Failed(other.to_string()), String::new()),
    }
}

fn spawn_failure(error: &std::io::Error) -> NotStarted {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => {
            NotStarted::BinaryMissing(format!("the CLI or its interpreter is missing: {error}"))
        }
        Kind::PermissionDenied => NotStarted::BinaryNotRunnable(format!("the CLI cannot be run: {error}")),
        Kind::ArgumentListTooLong => NotStarted::TooLong(format!(
            "the options are too long for a command line; use the `_file` options: {error}"
        )),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            NotStarted::BinaryNotRunnable(format!("the CLI is not a program: {error}"))
        }
        _ => NotStarted::Refused(format!("the CLI could not be started: {error}")),
    }
}

/// The end of standard error.
fn kept(mut stderr: String) -> String {
    if stderr.len() > STDERR_KEPT {
        let mut start = stderr.len() - STDERR_KEPT;
        while !stderr.is_char_boundary(start) {
            start += 1;
        }
        stderr.drain(..start);
    }
    stderr
}
