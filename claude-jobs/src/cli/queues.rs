//! `queues`: looks at queues and steers them.

use std::collections::{BTreeMap, BTreeSet};

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::database::Database;
use super::exit::{Exit, Problem};
use super::{live, output};
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
    Pause {
        #[command(flatten)]
        name: Name,
    },
    /// Start jobs of a queue again, whatever stopped it: a pause, a usage limit, a missing login
    Resume {
        #[command(flatten)]
        name: Name,
    },
    /// Set how many jobs of a queue each machine runs at once
    Scale {
        #[command(flatten)]
        name: Name,
        /// A number from 1, or `default` for what each `work --queue NAME=N` says
        #[arg(value_name = "N|default", allow_negative_numbers = true, value_parser = concurrency)]
        concurrency: Concurrency,
    },
}

/// The queue to steer.
#[derive(Debug, clap::Args)]
struct Name {
    /// The queue
    name: String,
    /// Also if no job, node or worker here has named this queue yet
    #[arg(long)]
    force: bool,
}

impl Name {
    /// The name, if anything knows such a queue: a mistyped one would be paused while the right one goes on.
    async fn checked(&self, queue: &Queue) -> Result<&str, Problem> {
        if self.force {
            return Ok(&self.name);
        }
        let known = known(queue).await?;
        match known.contains(&self.name) {
            true => Ok(&self.name),
            false => Err(Problem::usage(unknown(&self.name, &known))),
        }
    }
}

/// Every queue that has settings or jobs, or that a node or a worker of this program names.
async fn known(queue: &Queue) -> Result<BTreeSet<String>, Problem> {
    let settings = queue.queues().await?.into_iter().map(|settings| settings.name);
    let jobs = queue.counts().await?.into_iter().map(|count| count.queue);
    let nodes = queue.engine().nodes().await?.into_iter().flat_map(|node| node.queues);
    let workers = queue.registry().definitions().map(|definition| definition.queue.to_owned());
    Ok(settings.chain(jobs).chain(nodes).chain(workers).collect())
}

fn unknown(name: &str, known: &BTreeSet<String>) -> String {
    let near = |other: &&String| strsim::damerau_levenshtein(name, other) <= name.chars().count().div_ceil(3);
    let near: Vec<_> = known.iter().filter(near).map(|other| format!("`{other}`")).collect();
    let hint = match &near[..] {
        [] => format!(
            "known are {};",
            known.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>().join(", ")
        ),
        near => format!("did you mean {}?", near.join(" or ")),
    };
    format!("unknown queue `{name}`: {hint} `--force` takes it as it is")
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
        let is_list = matches!(self.action, Action::List);
        let queue = database.look(is_list && !self.json).await?;
        let settings = match &self.action {
            Action::List => return list(&queue, self.json).await,
            Action::Pause { name } => queue.pause(name.checked(&queue).await?).await?,
            Action::Resume { name } => queue.resume(name.checked(&queue).await?).await?,
            Action::Scale { name, concurrency } => {
                queue.scale(name.checked(&queue).await?, concurrency.0).await?
            }
        };
        let [name, is, concurrency] = described(&settings);
        let line = format!("queue {name}: {is}, concurrency {concurrency}");
        let printed = if self.json { output::print_json(&settings) } else { output::print(&line) };
        live::say_if_unprinted(printed, &line);
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
    fn an_unknown_queue_is_told_with_its_near_names() {
        let known = ["default", "review", "reviews", "triage"].map(str::to_owned).into();
        for (name, expected) in [
            (
                "reviwe",
                "unknown queue `reviwe`: did you mean `review` or `reviews`? `--force` takes it as it is",
            ),
            ("tirage", "unknown queue `tirage`: did you mean `triage`? `--force` takes it as it is"),
            (
                "x",
                "unknown queue `x`: known are `default`, `review`, `reviews`, `triage`; `--force` takes it as it is",
            ),
        ] {
            assert_eq!(unknown(name, &known), expected);
        }
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
