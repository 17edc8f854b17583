//! `jobs show`: everything about one job.

use serde::Serialize;
use serde_json::Value;

use crate::blocked::Blocked;
use crate::cli::exit::{Exit, Problem};
use crate::cli::queues::line;
use crate::cli::{output, timeline};
use crate::event::LogEntry;
use crate::job::{AttemptError, Job, JobId, RunRow, State};
use crate::queue::{JobDetails, Queue};

/// A job as `jobs show --json` prints it: its fields, `runs`, `errors` and `timeline`, and the last run's most
/// wanted fields at the top.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    details: &'a JobDetails,
    /// What its claude has said and done, in all attempts.
    timeline: &'a [LogEntry],
    outcome: Option<&'a str>,
    result: Option<&'a str>,
    structured: Option<&'a Value>,
    session_id: Option<&'a str>,
    turns: Option<u32>,
    duration_ms: Option<u64>,
    cost_usd: Option<f64>,
    #[serde(flatten)]
    spent: Spent,
    /// Why it does not start, where it waits.
    blocked: &'a [Blocked],
}

/// What all runs of a job have cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spent {
    /// The sum of what is known.
    total_cost_usd: f64,
    /// How many runs have no known cost.
    unknown_costs: usize,
}

impl Spent {
    fn on(runs: &[RunRow]) -> Self {
        Self {
            // Not `sum`: its zero is a negative one.
            total_cost_usd: runs.iter().filter_map(|run| run.cost_usd).fold(0.0, |sum, cost| sum + cost),
            unknown_costs: runs.iter().filter(|run| run.cost_usd.is_none()).count(),
        }
    }
}

impl<'a> Printed<'a> {
    fn new(details: &'a JobDetails, timeline: &'a [LogEntry], blocked: &'a [Blocked]) -> Self {
        let last = details.runs.last();
        Self {
            details,
            timeline,
            outcome: last.map(|run| run.outcome.as_str()),
            result: last.and_then(|run| run.result.as_deref()),
            structured: last.and_then(|run| run.structured.as_ref()),
            session_id: last.and_then(|run| run.session_id.as_deref()),
            turns: last.and_then(|run| run.turns),
            duration_ms: last.map(milliseconds),
            cost_usd: last.and_then(|run| run.cost_usd),
            spent: Spent::on(&details.runs),
            blocked,
        }
    }
}

fn milliseconds(run: &RunRow) -> u64 {
    u64::try_from(run.duration().as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn show(queue: &Queue, id: JobId, json: bool) -> Result<Exit, Problem> {
    let (details, log) = (queue.details(id).await?, queue.log(id).await?);
    let blocked = blocked(queue, &details.job).await?;
    if json {
        output::print_json(&Printed::new(&details, &log, &blocked))?;
    } else {
        let mut page = page(&details, &log);
        for blocked in &blocked {
            page.push_str(&format!("\n{}\n", line(blocked, queue.now())));
        }
        output::print_answer(&page)?;
    }
    Ok(Exit::Complete)
}

/// What keeps a job from starting that waits.
async fn blocked(queue: &Queue, job: &Job) -> Result<Vec<Blocked>, Problem> {
    if job.state.is_final() || job.state == State::Executing {
        return Ok(Vec::new());
    }
    Ok(queue.blocked().await?.into_iter().filter(|blocked| blocked.concerns(&job.queue)).collect())
}

/// Counted attempts of how many.
pub(super) fn attempts(job: &Job) -> String {
    format!("{}/{}", job.counted_attempts(), job.max_attempts)
}

/// How much of the input and of each option people see; `--json` has all of it.
const MOST: usize = 300;

/// The job for people.
fn page(details: &JobDetails, log: &[LogEntry]) -> String {
    let JobDetails { job, runs, errors } = details;
    let mut page = facts(job, &Spent::on(runs));
    if !runs.is_empty() {
        page.push_str("\nruns\n");
        page.push_str(&runs_table(runs));
    }
    if !errors.is_empty() {
        page.push_str("\nerrors\n");
        for AttemptError { attempt, at, kind, message } in errors {
            page.push_str(&format!("attempt {attempt}, {}, {kind}: {message}\n", output::time(*at)));
        }
    }
    page.push_str(&timeline_of(job.id, log));
    if let Some(run) = runs.last() {
        page.push_str(&answer(run));
    }
    page
}

/// How many events of the timeline people see.
const MOST_EVENTS: usize = 100;

/// The last events, in a line each.
fn timeline_of(id: JobId, log: &[LogEntry]) -> String {
    if log.is_empty() {
        return String::new();
    }
    let shown = &log[log.len().saturating_sub(MOST_EVENTS)..];
    let mut text = "\ntimeline\n".to_owned();
    if shown.len() < log.len() {
        let before = output::counted((log.len() - shown.len()) as u64, "event");
        text.push_str(&format!("… {before} before: see `tail {id}`\n"));
    }
    for LogEntry { attempt, at, progress, .. } in shown {
        let (at, what) = (output::time_of_day(*at), timeline::progress(progress));
        text.push_str(&format!("{at}  attempt {attempt}  {what}\n"));
    }
    text
}

/// The last run's answer, or the last words of one that failed.
fn answer(run: &RunRow) -> String {
    let heading = if run.outcome == "success" { "answer" } else { "last words" };
    match (&run.structured, &run.result) {
        (Some(structured), _) => format!("\n{heading}\n{structured:#}\n"),
        (None, Some(text)) => format!("\n{heading}\n{text}\n"),
        (None, None) => String::new(),
    }
}

fn facts(job: &Job, spent: &Spent) -> String {
    let unknown = match spent.unknown_costs {
        0 => String::new(),
        unknown => format!(" and {} of unknown cost", output::counted(unknown as u64, "run")),
    };
    let optional = |moment: Option<jiff::Timestamp>| moment.map(output::time);
    let facts = [
        ("job", Some(job.id.to_string())),
        ("state", Some(job.state.to_string())),
        ("reason", job.reason.clone()),
        ("cancel", job.cancel_requested.then(|| "requested".to_owned())),
        ("damage", job.damage.clone()),
        ("queue", Some(job.queue.clone())),
        ("worker", Some(job.worker.clone())),
        ("priority", Some(job.priority.to_string())),
        ("attempts", Some(attempts(job))),
        ("snoozes", Some(format!("{}/{}", job.snoozes, job.max_snoozes))),
        ("tags", (!job.tags.is_empty()).then(|| job.tags.join(", "))),
        ("inserted", Some(output::time(job.inserted_at))),
        ("due", Some(output::time(job.scheduled_at))),
        ("claimed", optional(job.attempted_at)),
        ("finished", optional(job.finished_at)),
        ("node", job.node.clone()),
        ("trace", job.trace_context().map(|trace| trace.trace_id())),
        ("input", (!job.input.is_null()).then(|| output::one_line(&job.input.to_string(), MOST))),
        ("spent", Some(format!("{}{unknown}", output::cost(Some(spent.total_cost_usd))))),
    ];
    let line = |(name, value): (&str, Option<String>)| Some(format!("{name:10}{}\n", value?));
    let mut text: String = facts.into_iter().filter_map(line).collect();
    for (name, value) in job.args.iter() {
        text.push_str(&format!("args.{name}: {}\n", output::one_line(&value.to_string(), MOST)));
    }
    text
}

fn runs_table(runs: &[RunRow]) -> String {
    let row = |run: &RunRow| {
        vec![
            run.attempt.to_string(),
            output::time(run.started_at),
            output::duration(run.duration()),
            run.outcome.clone(),
            run.verdict.clone(),
            run.ending.clone(),
            run.turns.map_or_else(|| "-".to_owned(), |turns| turns.to_string()),
            output::cost(run.cost_usd),
            run.session_id.clone().unwrap_or_default(),
        ]
    };
    let headings = ["ATTEMPT", "STARTED", "TOOK", "OUTCOME", "VERDICT", "ENDING", "TURNS", "COST", "SESSION"];
    output::table(&headings, runs.iter().map(row))
}

#[cfg(test)]
mod tests;
