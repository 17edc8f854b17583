//! `jobs prune`: removes jobs that are over for long.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use crate::cli::exit::{Exit, Problem};
use crate::cli::{live, output};
use crate::job::State;
use crate::options::parse_duration;
use crate::queue::Queue;
use crate::retention::Retention;

#[derive(Debug, clap::Args)]
pub(super) struct PruneFlags {
    /// The final state; repeatable
    #[arg(long = "state", required = true, value_parser = final_state())]
    states: Vec<State>,
    /// How long ago they ended at the least: days such as `30d`, or `36h`
    #[arg(long, value_name = "AGE", allow_hyphen_values = true, value_parser = age)]
    older_than: Duration,
    /// Only say how many there are
    #[arg(long)]
    dry_run: bool,
}

/// What was done, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Pruned {
    state: State,
    jobs: u64,
    dry_run: bool,
}

fn final_state() -> impl TypedValueParser<Value = State> {
    let names = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
    PossibleValuesParser::new(names).try_map(|name| State::from_name(&name).ok_or("unknown state"))
}

/// An age: any number of days, or a duration as elsewhere.
fn age(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| *days > 0);
    let days = days.and_then(|days| Retention::DAY.checked_mul(days));
    days.or_else(|| parse_duration(text)).ok_or_else(|| "give an age: `30d`, `36h`, `90m`".to_owned())
}

pub(super) async fn prune(queue: &Queue, flags: PruneFlags, json: bool) -> Result<Exit, Problem> {
    let PruneFlags { states, older_than, dry_run } = flags;
    let mut all = Vec::new();
    for state in states {
        let jobs = if dry_run {
            queue.prunable(state, older_than).await?
        } else {
            queue.prune(state, older_than).await?
        };
        all.push(Pruned { state, jobs, dry_run });
    }
    let verb = if dry_run { "would be removed" } else { "removed" };
    let lines: Vec<_> = all.iter().map(|it| format!("{} {} {verb}", it.jobs, it.state)).collect();
    let lines = lines.join("\n");
    let printed = if json { output::print_json(&all) } else { output::print(&lines) };
    match dry_run {
        true => printed?,
        false => live::say_if_unprinted(printed, &lines),
    }
    Ok(Exit::Complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        for (text, expected) in
            [("30d", hours(720)), ("365d", hours(8_760)), ("36h", hours(36)), ("1d12h", hours(36))]
        {
            assert_eq!(age(text), Ok(expected), "{text}");
        }
        for text in ["", "0d", "-1d", "d", "0", "a while", "99999999999999999999d"] {
            age(text).expect_err(text);
        }
    }
}
