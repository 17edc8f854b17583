//! `tail`: what a job's claude says and does, as it does it.

use super::database::Database;
use super::exit::{Exit, Problem};
use super::{live, output, timeline};
use crate::event::{Event, EventKind};
use crate::job::{Job, JobId, State};
use crate::queue::Queue;

/// How often it looks for what all jobs do.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(60);

/// Show what a job's claude says and does, or all that run now
///
/// Works from any machine that reaches the database. With --follow a job is followed through all its attempts
/// until it is over: exit code 0 when it completed, 3 when it was cancelled, 1 when it was discarded (or deleted
/// meanwhile). Without a job, --follow goes on until Ctrl-C, with jobs that start later.
#[derive(Debug, clap::Args)]
pub(super) struct TailCommand {
    /// The job; without it, all that run
    #[arg(value_name = "JOB", allow_negative_numbers = true, value_parser = super::jobs::job_id)]
    job: Option<JobId>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Print JSON, an object per line
    #[arg(long)]
    json: bool,
}

impl TailCommand {
    pub(super) async fn execute(self, database: &Database) -> Result<Exit, Problem> {
        let queue = database.look(false).await?;
        match self.job {
            Some(id) => self.one(&queue, id).await,
            None if self.follow => self.all(&queue).await,
            None => {
                for run in queue.engine().running().await? {
                    self.print_one(&queue, run.job).await?;
                }
                Ok(Exit::Complete)
            }
        }
    }

    async fn one(&self, queue: &Queue, id: JobId) -> Result<Exit, Problem> {
        let job = self.print_one(queue, id).await?;
        Ok(match job.map(|job| job.state) {
            Some(State::Cancelled) if self.follow => Exit::Cancelled,
            Some(State::Discarded) if self.follow => Exit::Retry,
            _ => Exit::Complete,
        })
    }

    async fn print_one(&self, queue: &Queue, id: JobId) -> Result<Option<Job>, Problem> {
        let mut tail = queue.tail(id);
        if !self.follow {
            tail = tail.until_now();
        }
        while let Some(event) = tail.next().await? {
            self.print(&event)?;
            let runs_again =
                event.kind.ended().is_some() && event.attempt == tail.job().map_or(0, |job| job.attempt);
            if let Some(job) = tail.job().filter(|job| self.follow && runs_again && !job.state.is_final()) {
                live::say(&waits(job));
            }
        }
        Ok(tail.job().cloned())
    }

    async fn all(&self, queue: &Queue) -> Result<Exit, Problem> {
        let mut events = queue.events().with_progress().every(LOOK_EVERY).await?;
        loop {
            self.print(&events.next().await)?;
        }
    }

    fn print(&self, event: &Event) -> Result<(), Problem> {
        if self.json { output::print_json_line(event) } else { output::print(&line(event)) }
    }
}

/// That there will be another attempt: not a part of the log.
fn waits(job: &Job) -> String {
    let reason = job.reason.as_ref().map(|reason| format!(": {}", output::one_line(reason, 200)));
    let due = output::time(job.scheduled_at);
    format!("job {} is {}, to run again at {due}{}", job.id, job.state, reason.unwrap_or_default())
}

/// `12:30:05.250  7.1  Bash: cargo test`: when, which job and attempt, what.
fn line(event: &Event) -> String {
    let what = match &event.kind {
        EventKind::Started => {
            format!(
                "started: {} in {}",
                output::one_line(&event.worker, 80),
                output::one_line(&event.queue, 80)
            )
        }
        kind => timeline::event(kind),
    };
    format!("{}  {}.{}  {what}", output::time_of_day(event.at), event.job, event.attempt)
}
