//! `work`: serves queues, with every linked worker and the built-in one.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::Configure;
use super::database::Database;
use super::duration::{duration, duration_or_zero};
use super::exit::{Exit, Problem};
use super::signals::Signals;
use super::watched::Watched;
use super::{live, output};
use crate::claude::ClaudeCli;
use crate::event::RunLog;
use crate::job::{Job, State};
use crate::notice::Notice;
use crate::runtime::{Runtime, RuntimeBuilder};
use crate::settlement::{Settlement, without_contents};
use crate::telemetry::contents_are_shown;

mod left;

/// Run jobs until a signal, or until nothing is due
///
/// SIGINT (Ctrl-C) or SIGTERM: no further job starts and running ones may finish within the grace. A
/// second one stops them at once; a handler that is at work has 10 s to end. What becomes of a stopped job its worker's `on_lost` says; by default it goes on in its
/// session when a node of this host serves again.
#[derive(Debug, clap::Args)]
pub(super) struct WorkCommand {
    /// A queue to serve, and how many of its jobs to run at once; repeatable [default: what the program says, else
    /// default=2]
    #[arg(long = "queue", value_name = "NAME=N", value_parser = served)]
    queues: Vec<Served>,
    /// End when nothing is due and nothing runs; jobs that wait for their time stay where they are
    #[arg(long)]
    drain: bool,
    /// How long running jobs may finish after a signal [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration_or_zero)]
    grace: Option<Duration>,
    /// How long this process may give no sign of life before others take its jobs over; at least 12s [default: 60s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    lease: Option<Duration>,
    /// What is kept of what claude says and does, for `tail` and `jobs show`: everything, what happened without
    /// any contents, or nothing [default: full]
    #[arg(long, value_name = "WHAT", value_parser = run_log())]
    run_log: Option<RunLog>,
    /// How many MiB of memory stay free beside what a run takes; below that no job starts [default: 512]
    #[arg(long, value_name = "MIB")]
    min_free_memory: Option<u64>,
    /// The `claude` executable for jobs that name none; takes the place of a runner that the program has set
    /// [default: claude]
    #[arg(long, value_name = "PATH")]
    binary: Option<String>,
    #[command(flatten)]
    watched: Watched,
}

/// A queue to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    name: String,
    concurrency: u32,
}

fn run_log() -> impl TypedValueParser<Value = RunLog> {
    PossibleValuesParser::new(["full", "redacted", "off"]).map(|name| match name.as_str() {
        "full" => RunLog::Full,
        "redacted" => RunLog::Redacted,
        _ => RunLog::Off,
    })
}

fn served(text: &str) -> Result<Served, String> {
    let form = "write NAME=N, such as `review=4`";
    match text.rsplit_once('=') {
        None => Err(form.to_owned()),
        Some(("", _)) => Err(format!("the queue's name is missing: {form}")),
        Some((name, number)) => match number.parse() {
            Ok(concurrency) if concurrency >= 1 => Ok(Served { name: name.to_owned(), concurrency }),
            _ => Err(format!("`{number}` jobs at once: give a whole number from 1")),
        },
    }
}

impl WorkCommand {
    /// Serves, with a runtime that the program has configured first.
    pub(super) async fn execute(self, database: &Database, program: impl Configure) -> Result<Exit, Problem> {
        log_warnings();
        let _served = self.watched.serve().await?;
        let queue = database.connect().await?;
        let signals = Signals::listen()?;
        let configured = program(Runtime::builder(queue.clone())).await;
        let configured =
            configured.map_err(|error| Problem::general(format!("this program's setup: {error}")))?;
        tokio::spawn(announce(signals.come(1)));
        let _shown = live::show();
        let runtime = self.applied_to(configured).stop_runs_when(signals.come(2));
        let served = runtime.served();
        let names: Vec<&str> = served.iter().map(String::as_str).collect();
        if !self.drain {
            live::say(&format!("serving {}; Ctrl-C ends", names.join(", ")));
            runtime.run_until(signals.come(1)).await?;
            return Ok(Exit::Complete);
        }
        runtime.drain_until(signals.come(1)).await?;
        for line in left::behind(&queue, &names).await? {
            live::say(&line);
        }
        Ok(Exit::Complete)
    }

    /// The flags that were given, over what the program says.
    fn applied_to(&self, mut runtime: RuntimeBuilder) -> RuntimeBuilder {
        if let Some(grace) = self.grace {
            runtime = runtime.grace(grace);
        }
        if let Some(lease) = self.lease {
            runtime = runtime.lease(lease);
        }
        if let Some(mebibytes) = self.min_free_memory {
            runtime = runtime.min_free_memory(mebibytes.saturating_mul(1024 * 1024));
        }
        if let Some(keeps) = self.run_log {
            runtime = runtime.run_log(keeps);
        }
        if let Some(binary) = &self.binary {
            runtime = runtime.claude(ClaudeCli::builder().binary(binary).build());
        }
        if !self.queues.is_empty() {
            runtime = runtime.without_queues();
        } else if runtime.served().is_empty() {
            runtime = runtime.queue("default", 2);
        }
        for served in &self.queues {
            runtime = runtime.queue(&served.name, served.concurrency);
        }
        self.watched.count(runtime).on_notice(tell)
    }
}

async fn announce(first_signal: impl Future<Output = ()>) {
    first_signal.await;
    live::say("no further job starts; once more to stop the running ones");
}

/// Warnings of the runtime go to standard error, unless the program has its own idea of a log.
fn log_warnings() {
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(|| live::Lines);
    // An error means that the program has set one up already.
    let _ = log.try_init();
}

fn tell(notice: &Notice<'_>) {
    match notice {
        Notice::Started { job } => {
            live::begin(job.id.0, &format!("job {}", job.id));
            live::say(&started(job));
        }
        Notice::Progress { job, event } => live::observe(job.id.0, event),
        Notice::Settled { job, settlement, is_ours } => {
            live::end(job.id.0);
            live::say(&if *is_ours { settled(settlement) } else { superseded(job) });
        }
        Notice::ClaimsStopped { reason, until } => {
            let until = until.map(|until| format!(" until {}", output::time(until)));
            let reason = output::one_line(reason, 300);
            live::say(&format!("no job starts{}: {reason}", until.unwrap_or_default()));
        }
        Notice::ClaimsResumed => live::say("jobs start again"),
    }
}

fn started(job: &Job) -> String {
    let attempt = format!("attempt {} of {}", job.counted_attempts(), job.max_attempts);
    format!("job {} started: {} in {}, {attempt}", job.id, job.worker, job.queue)
}

fn superseded(job: &Job) -> String {
    format!("job {} was taken over by another node; nothing is written for this run", job.id)
}

/// What became of the job, what its run took, and why.
fn settled(settlement: &Settlement) -> String {
    let Settlement { id, state, scheduled_at, reason, run, .. } = settlement;
    let when = match state {
        State::Scheduled | State::Retryable => format!(" at {}", output::time(*scheduled_at)),
        _ => String::new(),
    };
    let turns = run.turns.map(|turns| output::counted(turns.into(), "turn"));
    let cost = run.cost_usd.map_or_else(|| "cost unknown".to_owned(), |dollars| output::cost(Some(dollars)));
    let took: Vec<String> =
        [turns, Some(cost), Some(output::duration(run.duration()))].into_iter().flatten().collect();
    let reason =
        reason.as_deref().and_then(told).map(|reason| format!(": {}", output::one_line(reason, 200)));
    format!("job {id} {state}{when} ({}){}", took.join(", "), reason.unwrap_or_default())
}

/// What a line tells of a reason.
fn told(reason: &str) -> Option<&str> {
    if contents_are_shown() { Some(reason) } else { without_contents(reason) }
}

#[cfg(test)]
mod tests;
