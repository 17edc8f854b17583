//! One run of the CLI, from start to report, on the thread of the runs.
//!
//! The stream is the truth: events are folded into the report as they come, so that a stop loses
//! nothing that was seen.
//!
//! # Memory
//!
//! Standard output is read line by line and not kept: a run costs about three times its longest line
//! (the line, its text, its JSON tree), besides the few events that the report keeps. The wrapper has
//! one limit for both the whole output and, because a line is a part of it, a line that never ends:
//! [`OUTPUT_LIMIT`]. It must let an eight-hour session with partial messages through, so it is generous;
//! it is also the cap on what a run that prints one endless line can take (measured: 50 MiB of
//! events grow the process by 1 MiB, an endless line by 256 MiB before it is cut off).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use claude_wrapper::streaming::{StreamEvent, stream_query_cancellable};
use claude_wrapper::{CommandOutput, OutputFormat, QueryCommand};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::ending::{self, BROKEN_PIPE};
use super::hold::{Hold, Supervision};
use super::{Request, environment, preflight};
use crate::clock::Uptime;
use crate::outcome::{Ending, NotStarted, Report, StopReason};
use crate::telemetry::TraceContext;

/// What all runs of a runner share.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) binary: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) grace: Duration,
    pub(super) supervision: Supervision,
    /// Where the CLI keeps its sessions, once somebody has asked.
    pub(super) session_host: OnceLock<String>,
}

/// The most that a run may print, on standard output and on standard error each.
pub(super) const OUTPUT_LIMIT: usize = 256 * 1024 * 1024;

/// Prompts above the pipe's capacity can break the pipe when the CLI refuses to start, and then its
/// reason is lost.
const PIPE_CAPACITY: usize = 64 * 1024;

pub(super) async fn run(setup: &Setup, request: Request) -> Report {
    let mut report = Report::new(request.pinned_session().map(str::to_owned));
    report.environment = environment::in_effect(&setup.environment);
    report.environment.extend(request.trace.iter().flat_map(TraceContext::variables));
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

async fn drive(setup: &Setup, request: &Request, binary: &Path, prompt: &str, mut report: Report) -> Report {
    let mut lease = request.lease.watch();
    let until = *lease.borrow_and_update();
    // This process may have been frozen since it got the job, which is another's by now.
    if until.is_some_and(|until| until <= Uptime::now()) {
        report.ending = Ending::Stopped(StopReason::Shutdown);
        return report;
    }
    let started = Hold::new(setup.grace, &setup.supervision)
        .map_err(|error| format!("the run's pipes: {error}"))
        .and_then(|hold| Ok((client(setup, request, binary, until, &hold)?, hold)));
    let (claude, hold) = match started {
        Ok(started) => started,
        Err(problem) => {
            report.ending = Ending::NotStarted(NotStarted::Refused(problem));
            return report;
        }
    };
    let query = query(request, prompt);
    let report = RefCell::new(report);
    let quiet = Quiet::default();
    let kill = CancellationToken::new();
    let follow_lease = async {
        while lease.changed().await.is_ok() {
            hold.extend(*lease.borrow_and_update());
        }
        std::future::pending::<StopReason>().await
    };
    let (result, asked) = {
        let stream = stream_query_cancellable(&claude, &query, kill.cancelled(), |event: StreamEvent| {
            report.borrow_mut().observe(&event.data);
            quiet.heard(report.borrow().is_done());
            if let Some(observer) = &request.observer {
                observer(&event.data);
            }
        });
        let mut stream = pin!(stream);
        tokio::select! {
            result = &mut stream => (result, None),
            reason = stop_reason(request, &quiet) => {
                (end(request, &hold, stream, &kill).await, Some(reason))
            }
            // Never resolves.
            reason = follow_lease => (end(request, &hold, stream, &kill).await, Some(reason)),
        }
    };
    let mut report = report.into_inner();
    let (ending, stderr) = ending::of_wrapper(result);
    report.stderr = stderr;
    report.ending = settle(request, &hold, ending, &report.stderr, asked).await;
    report
}

/// Ends the run in an orderly way, and if that does not help, otherwise. The stream has not ended, so the
/// wrapper's child is not reaped.
async fn end(
    request: &Request,
    hold: &Hold,
    mut stream: Pin<&mut impl Future<Output = claude_wrapper::Result<CommandOutput>>>,
    kill: &CancellationToken,
) -> claude_wrapper::Result<CommandOutput> {
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
            let why = crate::outcome::NotStarted::Refused(stderr.trim().to_owned());
            return Ending::NotStarted(why);
        }
        None => {}
    }
    let _ = (request, hold, stderr);
    asked.map_or(ending, Ending::Stopped)
}

/// How long a CLI may stay that has done its work, and says nothing more: its hooks may take a while, but one that hangs
/// is not to keep its slot for ever.
const LINGER: Duration = Duration::from_secs(300);

/// Since when the CLI is quiet, and whether its work is done.
struct Quiet {
    since: Cell<Instant>,
    is_done: Cell<bool>,
    changed: Notify,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { since: Cell::new(Instant::now()), is_done: Cell::new(false), changed: Notify::new() }
    }
}

impl Quiet {
    fn heard(&self, is_done: bool) {
        self.since.set(Instant::now());
        if self.is_done.replace(is_done) != is_done {
            self.changed.notify_one();
        }
    }

    /// Resolves when it has been quiet for too long.
    async fn for_too_long(&self, idle_timeout: Option<Duration>) {
        loop {
            let linger = self.is_done.get().then_some(LINGER);
            let Some(most) = idle_timeout.into_iter().chain(linger).min() else {
                self.changed.notified().await;
                continue;
            };
            let deadline = self.since.get() + most;
            if deadline <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(deadline) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

/// Resolves with the reason when the run is to be stopped: asked from outside, or silent too long.
async fn stop_reason(request: &Request, quiet: &Quiet) -> StopReason {
    tokio::select! {
        reason = request.stop.fired() => reason,
        () = quiet.for_too_long(request.options.idle_timeout) => StopReason::IdleTimeout,
    }
}

fn client(
    setup: &Setup,
    request: &Request,
    binary: &Path,
    until: Option<Uptime>,
    hold: &Hold,
) -> Result<claude_wrapper::Claude, String> {
    let (program, variable) = hold.program(binary, until).map_err(|error| error.to_string())?;
    let marker = request.marker.iter().map(|marker| (environment::RUN.to_owned(), marker.clone()));
    let database = request.database_id.iter().map(|id| (environment::DATABASE.to_owned(), id.to_string()));
    let mut environment = setup.environment.clone();
    environment.extend(marker.chain(database).chain(variable));
    environment.extend(request.trace.iter().flat_map(TraceContext::variables));
    if request.options.is_untrusted {
        let (name, value) = environment::NO_FILE_MENTIONS;
        environment.insert(name.to_owned(), value.to_owned());
    }
    let child = hold.child();
    let mut builder = claude_wrapper::Claude::builder()
        .binary(program)
        .clear_env()
        .envs(environment)
        .output_limit(OUTPUT_LIMIT)
        // A group of its own: the terminal's Ctrl-C is for the runtime, which stops runs in order.
        .process_group(true)
        // It follows the thread, and the supervisor sees our death.
        .die_with_parent(false)
        .on_spawn(Arc::new(move |info| child.store(info.pid, Ordering::SeqCst)));
    if let Some(grace) = hold.grace_of_the_group() {
        builder = builder.kill_grace(grace);
    }
    if let Some(folder) = &request.options.working_dir {
        builder = builder.working_dir(PathBuf::from(folder));
    }
    builder.build().map_err(|error| error.to_string())
}

fn query(request: &Request, prompt: &str) -> QueryCommand {
    let query = QueryCommand::new(prompt).prompt_via_stdin(true).output_format(OutputFormat::StreamJson);
    let mut options = (*request.options).clone();
    let continues = options.resume.is_some() || options.from_pr.is_some();
    if !continues || options.fork_session == Some(true) {
        options.session_id = options.session_id.or_else(|| request.session_id.clone());
    }
    options.apply(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that has nothing more to do and hangs is ended in the end; one that works may be silent, unless it is said
    /// how long.
    #[tokio::test(start_paused = true)]
    async fn a_cli_may_stay_for_a_while_when_its_work_is_done() {
        let idle = Some(Duration::from_secs(60));
        for (idle_timeout, is_done, expected) in
            [(None, false, None), (None, true, Some(LINGER)), (idle, false, idle), (idle, true, idle)]
        {
            let (quiet, start) = (Quiet::default(), Instant::now());
            let heard = async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                quiet.heard(is_done);
                std::future::pending::<()>().await;
            };
            let ended = tokio::select! {
                () = heard => unreachable!("it never resolves"),
                () = quiet.for_too_long(idle_timeout) => Some(start.elapsed() - Duration::from_secs(10)),
                () = tokio::time::sleep(LINGER * 2) => None,
            };
            assert_eq!(ended.map(|ended| ended.as_secs()), expected.map(|expected| expected.as_secs()));
        }
    }
}
