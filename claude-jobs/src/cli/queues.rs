//! `queues`: looks at queues and steers them.

use std::collections::BTreeMap;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::database::Database;
use super::exit::{Exit, Problem};
use super::output;
use crate::blocked::{Blocked, BlockedBy};
use crate::engine::{Count, QueueSettings};
use crate::job::State;
use crate::queue::Queue;

/// Look at queues, pause, resume and scale them
#[derive(Debug, clap::Args)]
pub(super) struct QueuesCommand {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every queue with its settings and how many jobs it has in each state
    List,
    /// Start no more jobs of a queue, on any machine; running ones go on
    Pause { name: String },
    /// Start jobs of a queue again, whatever stopped it: a pause, a usage limit, a missing login
    Resume { name: String },
    /// Set how many jobs of a queue each machine runs at once
    Scale {
        name: String,
        /// A number from 1, or `default` for what each `work --queue NAME=N` says
        #[arg(value_name = "N|default", allow_negative_numbers = true, value_parser = concurrency)]
        concurrency: Concurrency,
    },
}

/// How many jobs at once; `None` for each machine's own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Concurrency(Option<u32>);

fn concurrency(text: &str) -> Result<Concurrency, String> {
    match text {
        "default" => Ok(Concurrency(None)),
        _ => match text.parse() {
            Ok(number) if number >= 1 => Ok(Concurrency(Some(number))),
            _ => Err("give a number from 1 or `default`; `queues pause NAME` stops a queue".to_owned()),
        },
    }
}

/// A queue as `queues list --json` prints it.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    settings: QueueSettings,
    jobs: BTreeMap<&'static str, u64>,
    /// Why its jobs do not start.
    blocked: Vec<Blocked>,
}

impl QueuesCommand {
    pub(super) async fn execute(self, database: &Database) -> Result<Exit, Problem> {
        let queue = match &self.action {
            Action::List => database.look(!self.json).await?,
            _ => database.connect().await?,
        };
        let settings = match &self.action {
            Action::List => return list(&queue, self.json).await,
            Action::Pause { name } => queue.pause(name).await?,
            Action::Resume { name } => queue.resume(name).await?,
            Action::Scale { name, concurrency } => queue.scale(name, concurrency.0).await?,
        };
        if self.json {
            output::print_json(&settings)?;
        } else {
            let [name, is, concurrency] = described(&settings);
            output::print(&format!("queue {name}: {is}, concurrency {concurrency}"))?;
        }
        Ok(Exit::Complete)
    }
}

async fn list(queue: &Queue, json: bool) -> Result<Exit, Problem> {
    let blocked = queue.blocked().await?;
    let listed = listed(queue.queues().await?, &queue.counts().await?, &blocked);
    if json {
        output::print_json(&listed)?;
        return Ok(Exit::Complete);
    }
    let now = queue.now();
    let states = State::ALL.map(|state| state.name().to_uppercase());
    let headings = ["QUEUE", "IS", "CONCURRENCY"].into_iter().chain(states.iter().map(String::as_str));
    let rows = listed.iter().map(|queue| {
        let jobs = State::ALL.map(|state| queue.jobs[state.name()].to_string());
        let [name, is, concurrency] = described(&queue.settings);
        let is = if is == "open" { open_or_stopped(&queue.blocked, now) } else { is };
        [name, is, concurrency].into_iter().chain(jobs).collect()
    });
    output::print_table(&headings.collect::<Vec<_>>(), rows)?;
    for blocked in &blocked {
        output::print(&format!("{}\n", line(blocked, now)))?;
    }
    Ok(Exit::Complete)
}

/// Every queue that has settings or jobs, by name.
fn listed(settings: Vec<QueueSettings>, counts: &[Count], blocked: &[Blocked]) -> Vec<Listed> {
    let mut queues: BTreeMap<String, QueueSettings> =
        settings.into_iter().map(|settings| (settings.name.clone(), settings)).collect();
    let counted = counts.iter().map(|count| &count.queue);
    for queue in counted.chain(blocked.iter().flat_map(|blocked| &blocked.queues)) {
        queues
            .entry(queue.clone())
            .or_insert_with(|| QueueSettings { name: queue.clone(), ..QueueSettings::default() });
    }
    let jobs = |name: &str| {
        let of = |state| counts.iter().find(|count| count.queue == name && count.state == state);
        State::ALL.iter().map(|&state| (state.name(), of(state).map_or(0, |count| count.jobs))).collect()
    };
    let of = |name: &str| blocked.iter().filter(|blocked| blocked.concerns(name)).cloned().collect();
    let list = |settings: QueueSettings| Listed {
        jobs: jobs(&settings.name),
        blocked: of(&settings.name),
        settings,
    };
    queues.into_values().map(list).collect()
}

/// What is shown of a queue that is not paused: `open`, or that an account keeps it from starting jobs.
fn open_or_stopped(blocked: &[Blocked], now: Timestamp) -> String {
    let accounts = blocked.iter().filter(|blocked| blocked.by == BlockedBy::Account);
    match accounts.filter_map(|blocked| blocked.until).max() {
        Some(until) if until > now => format!("stopped until {}", output::time(until)),
        Some(_) => "stopped, next job tries".to_owned(),
        None => "open".to_owned(),
    }
}

/// Why nothing starts, and until when.
pub(super) fn line(blocked: &Blocked, now: Timestamp) -> String {
    let until = blocked.until.filter(|until| *until > now);
    let until = until.map(|until| format!("; tried again at {}", output::time(until))).unwrap_or_default();
    format!("{}{until}", output::one_line(&blocked.to_string(), 400))
}

/// Name, whether it is open, concurrency.
fn described(settings: &QueueSettings) -> [String; 3] {
    let is = if settings.paused { "paused" } else { "open" };
    let concurrency = settings.concurrency.map_or_else(|| "default".to_owned(), |number| number.to_string());
    [settings.name.clone(), is.to_owned(), concurrency]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_with_jobs_or_settings_is_listed_once() {
        let paused = QueueSettings { name: "a".into(), paused: true, ..QueueSettings::default() };
        let count = |queue: &str, state, jobs| Count { queue: queue.into(), state, jobs };
        let counts = [count("a", State::Available, 2), count("b", State::Completed, 1)];
        let listed = serde_json::to_value(listed(vec![paused], &counts, &[])).expect("JSON");
        assert_eq!(listed.as_array().map(Vec::len), Some(2));
        assert_eq!((&listed[0]["name"], &listed[0]["paused"]), (&json!("a"), &json!(true)));
        assert_eq!(
            (&listed[0]["jobs"]["available"], &listed[0]["jobs"]["completed"]),
            (&json!(2), &json!(0))
        );
        assert_eq!((&listed[1]["name"], &listed[1]["jobs"]["completed"]), (&json!("b"), &json!(1)));
    }

    #[test]
    fn concurrency_is_a_number_from_one_or_default() {
        assert_eq!(concurrency("4"), Ok(Concurrency(Some(4))));
        assert_eq!(concurrency("default"), Ok(Concurrency(None)));
        for wrong in ["0", "-1", "many", ""] {
            assert!(concurrency(wrong).is_err(), "{wrong:?}");
        }
    }
}
