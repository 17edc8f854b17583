//! `enqueue`: writes one job.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::database::Database;
use super::duration::duration;
use super::exit::{Exit, Problem};
use super::flags::Layer;
use super::{json, live, output, watched};
use crate::job::{Inserted, JobId, MAX_ATTEMPTS, NewJob, Schedule, State};
use crate::options::ArgMap;
use crate::passthrough::Passthrough;
use crate::unique::{Unique, UniqueDefault};
use crate::worker::Worker;

/// Insert a job and print its id
#[derive(Debug, clap::Args)]
pub(super) struct EnqueueCommand {
    /// Print one JSON object: id, state, duplicate, queue
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "The job")]
    settings: Settings,
    #[command(flatten, next_help_heading = None::<&str>)]
    layer: Layer,
}

/// The job's own settings. What is left out is the worker's to say.
#[derive(Debug, Default, clap::Args)]
struct Settings {
    /// The worker that runs it
    #[arg(long, value_name = "NAME", default_value = Passthrough::DEFINITION.name)]
    worker: String,
    /// The worker's fields: a JSON object such as '{"number": 7}' [default: none]
    #[arg(long, value_name = "JSON", value_parser = json::object)]
    input: Option<Map<String, Value>>,
    /// The queue [default: the worker's; `default` for `claude`]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// How many counted attempts it may use [default: the worker's; 3 for `claude`]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ATTEMPTS)))]
    max_attempts: Option<u32>,
    /// 0 (first) to 9 (last) [default: the worker's; 0 for `claude`]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// Run it no sooner than after this long, such as `10m`
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    schedule_in: Option<Duration>,
    /// A same job within this time is a duplicate: seconds, or text such as `1h`
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration)]
    unique_period: Option<Duration>,
    /// A label to filter by; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Notes of your own: a JSON object
    #[arg(long, value_name = "JSON", value_parser = json::object)]
    meta: Option<Map<String, Value>>,
}

/// An insert as `--json` prints it.
#[derive(Serialize)]
struct Printed<'a> {
    id: JobId,
    state: State,
    duplicate: bool,
    queue: &'a str,
}

impl EnqueueCommand {
    pub(super) async fn execute(self, database: &Database) -> Result<Exit, Problem> {
        let is_passthrough = self.settings.worker == Passthrough::DEFINITION.name;
        let args = if is_passthrough { self.layer.read()? } else { self.layer.read_if_given()? };
        let queue = database.connect().await?;
        let of_worker = queue.registry().get(&self.settings.worker).ok();
        let mut job = self.settings.job(args, of_worker.and_then(|worker| worker.definition.unique));
        job.trace = watched::trace();
        let inserted = queue.insert(job).await?;
        if inserted.duplicate {
            let Inserted { job, .. } = &inserted;
            live::say(&format!("duplicate: job {} is there already ({})", job.id, job.state));
        }
        let Inserted { job, duplicate, .. } = &inserted;
        let printed = if self.json {
            let line = Printed { id: job.id, state: job.state, duplicate: *duplicate, queue: &job.queue };
            output::print_json(&line)
        } else {
            output::print(&job.id.to_string())
        };
        live::say_if_unprinted(printed, &format!("job {} is inserted", job.id));
        Ok(Exit::Complete)
    }
}

impl Settings {
    /// What is left out is the worker's to say, of its uniqueness too.
    fn job(self, args: ArgMap, unique: Option<UniqueDefault>) -> NewJob {
        let mut job = NewJob::new(self.worker, self.input.map_or(Value::Null, Value::Object));
        job.args = args;
        job.queue = self.queue;
        job.max_attempts = self.max_attempts;
        job.priority = self.priority;
        job.schedule = self.schedule_in.map_or(Schedule::Now, Schedule::In);
        job.unique =
            self.unique_period.map(|period| Unique { period: Some(period), ..Unique::of_worker(unique) });
        job.tags = self.tags;
        job.meta = self.meta.unwrap_or_default();
        job
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::unique::UniqueField;

    #[test]
    fn a_period_leaves_the_rest_of_the_workers_uniqueness() {
        let by: &'static [UniqueField] = &[UniqueField::Worker];
        let states: &'static [State] = &[State::Scheduled, State::Available];
        let settings = |period: Option<Duration>| Settings { unique_period: period, ..Settings::default() };
        let unique = |period, of_worker| settings(period).job(ArgMap::new(), of_worker).unique;
        let hour = Duration::from_secs(3_600);
        let found = unique(Some(hour), Some(UniqueDefault { period: 60, by, states })).expect("a rule");
        assert_eq!((found.period, &*found.by, &*found.states), (Some(hour), by, states));
        let found = unique(Some(hour), None).expect("a rule");
        assert_eq!((found.period, &*found.by), (Some(hour), Unique::DEFAULT_FIELDS));
        assert!(
            unique(None, Some(UniqueDefault { period: 60, by, states })).is_none(),
            "as the worker has it"
        );
    }
}
