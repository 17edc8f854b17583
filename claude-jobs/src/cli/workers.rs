//! `workers`: the definitions of the workers that this program knows.
//!
//! No database is opened: what a definition says is in the program.

use std::time::Duration;

use clap::Subcommand;
use jiff::Timestamp;

use super::database::registry;
use super::exit::{Exit, Problem};
use super::output;
use crate::clock::Clock;
use crate::definition::Definition;
use crate::describe::Description;
use crate::schedule::Schedule;

/// Look at the definitions of this program's workers
#[derive(Debug, clap::Args)]
pub(super) struct WorkersCommand {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every worker with its queue, limits and schedule
    List,
    /// All that one worker's definition says
    Show {
        /// The worker's name, as rows carry it
        name: String,
    },
}

impl WorkersCommand {
    pub(super) fn execute(self) -> Result<Exit, Problem> {
        let registry = registry()?;
        match &self.action {
            Action::List if self.json => {
                let all: Vec<Description> = registry.definitions().map(Description::from).collect();
                output::print_json(&all)?;
            }
            Action::List => {
                let now = Clock::system().now();
                let headings = ["WORKER", "QUEUE", "ATTEMPTS", "FIELDS", "SCHEDULE", "NEXT", "DEFINED AT"];
                output::print_table(&headings, registry.definitions().map(|worker| row(worker, now)))?;
            }
            Action::Show { name } => {
                let definition = registry.get(name)?.definition;
                let description = Description::from(definition);
                if self.json {
                    output::print_json(&description)?;
                } else {
                    output::print(&text(&description))?;
                }
            }
        }
        Ok(Exit::Complete)
    }
}

fn row(worker: &Definition, now: Timestamp) -> Vec<String> {
    let schedule = worker.cron.map(|cron| format!("{} {}", cron.expression, cron.time_zone));
    let next = worker.cron.and_then(|cron| {
        let schedule = Schedule::parse(cron.expression, cron.time_zone).ok()?;
        schedule.after(now).map(output::time)
    });
    vec![
        worker.name.to_owned(),
        worker.queue.to_owned(),
        worker.max_attempts.to_string(),
        worker.fields.join(", "),
        schedule.unwrap_or_default(),
        next.unwrap_or_default(),
        worker.defined_at.to_owned(),
    ]
}

/// A description line by line: `key: value`, lists and options indented beneath theirs.
fn text(of: &Description) -> String {
    let mut lines = vec![
        format!("worker: {}", of.name),
        format!("queue: {}", of.queue),
        format!("defined at: {}", of.defined_at),
        format!(
            "max attempts: {}, max snoozes: {}, priority: {}",
            of.max_attempts, of.max_snoozes, of.priority
        ),
        format!(
            "when interrupted: {}, at most {} times uncounted; retries go on at: {}; handler attempts: {}",
            of.on_lost.name(),
            of.max_interruptions,
            of.retry_from.name(),
            of.max_handler_attempts
        ),
    ];
    if !of.tags.is_empty() {
        lines.push(format!("tags: {}", of.tags.join(", ")));
    }
    if let Some(unique) = &of.unique {
        let period = output::duration(Duration::from_secs(unique.period_seconds));
        let (by, states) = (unique.by.join(", "), unique.states.join(", "));
        lines.push(format!("unique: for {period} by {by} while {states}"));
    }
    if let Some(output) = &of.output {
        lines.push(format!("answers with: {}", output.type_name));
    }
    if let Some(state) = of.state {
        lines.push(format!("takes the program's state: {state}"));
    }
    if let Some(key) = of.concurrency_key {
        lines.push(format!("concurrency key: {key}"));
    }
    if let Some(cron) = &of.cron {
        let (missed, if_busy) = (cron.missed.name(), cron.if_busy.name());
        lines.push(format!(
            "schedule: {} in {}, missed ticks: {missed}, while busy: {if_busy}",
            cron.expression, cron.time_zone
        ));
    }
    if of.allow_untrusted_writes {
        lines.push("runs that can write may read untrusted fields".to_owned());
    }
    if of.require_mcp {
        lines.push("ends before it is paid for when an MCP server is missing".to_owned());
    }
    if !of.fields.is_empty() {
        lines.push("fields:".to_owned());
        lines.extend(of.fields.iter().map(|field| {
            let untrusted = if field.untrusted { ", untrusted" } else { "" };
            format!("  {}: {}{untrusted}", field.name, field.type_name)
        }));
    }
    for (heading, options) in [("args:", &of.args), ("pinned args:", &of.pinned_args)] {
        if !options.is_empty() {
            lines.push(heading.to_owned());
        }
        for (name, value) in options.iter() {
            match value.as_str() {
                Some(text) if text.contains('\n') => {
                    lines.push(format!("  {name}:"));
                    lines.extend(text.lines().map(|line| format!("    {line}")));
                }
                Some(text) => lines.push(format!("  {name}: {text}")),
                None => lines.push(format!("  {name}: {value}")),
            }
        }
    }
    output::harmless(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Literal, Setting, Settings};
    use crate::output::OutputType;

    #[test]
    fn a_description_reads_line_by_line() {
        let output = OutputType {
            name: "Vec<Reply>",
            schema: || Err("not asked for here".to_owned()),
            mismatch: |_| None,
        };
        let definition = Definition {
            output: Some(output),
            fields: &["number", "body"],
            field_types: &["u64", "String"],
            untrusted_fields: &["body"],
            args: Settings(&[
                Setting { name: "prompt", value: Literal::Str("line 1\nline 2\u{1b}") },
                Setting { name: "max_turns", value: Literal::Int(3) },
            ]),
            defined_at: "src/main.rs:7",
            ..Definition::new("issue", "issues")
        };
        let expected = "\
worker: issue
queue: issues
defined at: src/main.rs:7
max attempts: 3, max snoozes: 3, priority: 0
when interrupted: resume, at most 5 times uncounted; retries go on at: session; handler attempts: 5
answers with: Vec<Reply>
fields:
  number: u64
  body: String, untrusted
args:
  max_turns: 3
  prompt:
    line 1
    line 2\u{fffd}";
        assert_eq!(text(&Description::from(&definition)), expected);
    }
}
