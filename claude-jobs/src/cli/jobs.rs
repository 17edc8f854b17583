//! `jobs`: looks at jobs and steers them, one by one.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::database::Database;
use super::exit::{Exit, Problem};
use super::{live, output};
use crate::engine::{Cancelled, Filter};
use crate::error::Result as EngineResult;
use crate::job::{Job, JobId, State};
use crate::queue::Queue;

mod prune;
mod retry;
mod show;

/// Look at jobs; cancel, retry, delete and prune them
#[derive(Debug, clap::Args)]
pub(super) struct JobsCommand {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Jobs by filter, newest first
    List(ListFlags),
    /// One job: its fields, its runs, its errors, its last answer
    Show {
        #[arg(allow_negative_numbers = true, value_parser = job_id)]
        id: JobId,
    },
    /// Cancel waiting jobs at once; ask for it where they run
    Cancel(Ids),
    /// Make jobs claimable at once, with an attempt if they have none left
    Retry(retry::RetryFlags),
    /// Remove jobs that are not running, with their runs and errors
    Delete(Ids),
    /// Remove all jobs that ended in a state long ago, with their runs and errors
    Prune(prune::PruneFlags),
}

#[derive(Debug, clap::Args)]
struct ListFlags {
    /// Only in this state
    #[arg(long, value_parser = state_parser())]
    state: Option<State>,
    /// Only in this queue
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Only of this worker
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<String>,
    /// The most jobs
    #[arg(long, value_name = "N", default_value_t = Filter::default().limit, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only below this id, to page on
    #[arg(long, value_name = "ID", allow_negative_numbers = true, value_parser = job_id)]
    before: Option<JobId>,
}

#[derive(Debug, clap::Args)]
struct Ids {
    #[arg(value_name = "ID", required = true, allow_negative_numbers = true, value_parser = job_id)]
    ids: Vec<JobId>,
}

/// What was done to one job, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Done {
    id: JobId,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn job_id(text: &str) -> Result<JobId, String> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(JobId(number)),
        _ => Err("a job's id is a whole number from 1, as `enqueue` and `jobs list` print it".to_owned()),
    }
}

fn state_parser() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::name))
        .try_map(|name| State::from_name(&name).ok_or("unknown state"))
}

impl JobsCommand {
    pub(super) async fn execute(self, database: &Database) -> Result<Exit, Problem> {
        let is_list = matches!(self.action, Action::List(_));
        let queue = database.look(is_list && !self.json).await?;
        match self.action {
            Action::List(flags) => list(&queue, flags.into(), self.json).await,
            Action::Show { id } => show::show(&queue, id, self.json).await,
            Action::Cancel(Ids { ids }) => {
                let cancel = async |id| {
                    Ok(match queue.cancel(id).await? {
                        Cancelled::Now => "cancelled",
                        Cancelled::Requested => "cancel_requested",
                    })
                };
                each(ids, cancel, self.json).await
            }
            Action::Retry(flags) => retry::retry(&queue, flags, self.json).await,
            Action::Prune(flags) => prune::prune(&queue, flags, self.json).await,
            Action::Delete(Ids { ids }) => {
                each(ids, async |id| queue.delete(id).await.map(|()| "deleted"), self.json).await
            }
        }
    }
}

/// Does something to each job. One that refuses does not keep the others from it, but decides the
/// exit code.
async fn each(
    ids: Vec<JobId>,
    act: impl AsyncFn(JobId) -> EngineResult<&'static str>,
    json: bool,
) -> Result<Exit, Problem> {
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let (result, error) = match act(id).await {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some(error.to_string())),
        };
        all.push(Done { id, result, error });
    }
    print_done(all, json)
}

/// Prints what was done to each job, and decides the exit code.
fn print_done(all: Vec<Done>, json: bool) -> Result<Exit, Problem> {
    for Done { error, .. } in &all {
        if let Some(error) = error {
            live::say(&format!("error: {error}"));
        }
    }
    let line = |done: &Done| done.result.map(|result| format!("{} {result}\n", done.id));
    let lines: String = all.iter().filter_map(line).collect();
    let printed = match json {
        true => output::print_json(&all),
        false if lines.is_empty() => Ok(()),
        false => output::print(&lines),
    };
    live::say_if_unprinted(printed, lines.trim_end());
    let is_complete = all.iter().all(|done| done.error.is_none());
    Ok(if is_complete { Exit::Complete } else { Exit::Retry })
}

impl From<ListFlags> for Filter {
    fn from(flags: ListFlags) -> Self {
        let ListFlags { state, queue, worker, tag, limit, before } = flags;
        Self { state, queue, worker, tag, before, limit }
    }
}

async fn list(queue: &Queue, filter: Filter, json: bool) -> Result<Exit, Problem> {
    let jobs = queue.list(&filter).await?;
    if json {
        output::print_json(&jobs)?;
    } else {
        output::print_table(
            &["ID", "STATE", "QUEUE", "WORKER", "PRIORITY", "ATTEMPT", "DUE", "WHAT"],
            jobs.iter().map(row),
        )?;
    }
    Ok(Exit::Complete)
}

fn row(job: &Job) -> Vec<String> {
    vec![
        job.id.to_string(),
        job.state.to_string(),
        job.queue.clone(),
        job.worker.clone(),
        job.priority.to_string(),
        show::attempts(job),
        output::time(job.scheduled_at),
        what(job),
    ]
}

/// Why it is where it is; else what it asks for.
fn what(job: &Job) -> String {
    let prompt = || job.args.get("prompt").and_then(serde_json::Value::as_str).map(str::to_owned);
    job.reason.clone().or_else(prompt).unwrap_or_else(|| job.input.to_string())
}
