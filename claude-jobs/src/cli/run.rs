//! `run`: one run, here and now, without a queue. The same merge, run and classification as a job
//! gets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::exit::{Exit, Problem};
use super::flags::Layer;
use super::signals::Signals;
use super::{live, output, watched};
use crate::claude::Stop;
use crate::job::Tokens;
use crate::options::ArgMap;
use crate::outcome::{Run, StopReason};
use crate::run::RunOptions;
use crate::verdict::{Verdict, Wake};

/// Run claude once and print its answer
///
/// Ctrl-C stops the run in an orderly way; a second one kills it.
#[derive(Debug, clap::Args)]
pub(super) struct RunCommand {
    #[command(flatten)]
    layer: Layer,
    /// Print one JSON object: outcome, verdict, answer, cost, session and more
    #[arg(long)]
    json: bool,
}

/// A finished run as `--json` prints it.
#[derive(Serialize)]
struct Printed<'a> {
    outcome: &'a str,
    verdict: &'a str,
    reason: Option<&'a str>,
    text: Option<&'a str>,
    structured: Option<&'a Value>,
    session_id: Option<&'a str>,
    cost_usd: Option<f64>,
    turns: Option<u32>,
    tokens: Option<Tokens>,
    model: Option<&'a str>,
    cli_version: Option<&'a str>,
    duration_ms: u64,
    denials: &'a [String],
    ending: String,
}

impl RunCommand {
    pub(super) async fn execute(self) -> Result<Exit, Problem> {
        let args = self.layer.read()?;
        let started = Instant::now();
        let (run, verdict) = run(args).await?;
        let duration = started.elapsed();
        if self.json {
            output::print_json(&Printed::new(&run, &verdict, duration))?;
        } else {
            print(&run, &verdict, duration)?;
        }
        Ok(Exit::of_run(&run, &verdict))
    }
}

/// The live line's place on the board.
const THE_RUN: i64 = 0;

async fn run(args: ArgMap) -> Result<(Run, Verdict), Problem> {
    let mut options = RunOptions::default().observer(Arc::new(|event| live::observe(THE_RUN, event)));
    options.trace = watched::trace();
    tokio::spawn(stop_on_signals(Signals::listen()?, options.stop.clone()));
    let _shown = live::show();
    live::begin(THE_RUN, "claude");
    Ok(crate::run(args, options).await?)
}

async fn stop_on_signals(signals: Signals, stop: Stop) {
    signals.come(1).await;
    live::say("stopping the run; once more to kill it");
    stop.fire(StopReason::Cancel);
    signals.come(2).await;
    stop.hurry();
}

fn print(run: &Run, verdict: &Verdict, duration: Duration) -> Result<(), Problem> {
    match (run.failure(), run.structured()) {
        (Some(failure), _) => live::say(&format!("failed ({}): {}", failure.kind.name(), failure.message)),
        (None, Some(structured)) => output::print_json(structured)?,
        (None, None) => output::print_answer(run.text())?,
    }
    if run.failure().is_some() || *verdict != Verdict::Complete {
        live::say(&format!("verdict: {}", in_words(verdict)));
    }
    if !run.denials.is_empty() {
        live::say(&format!("denied: {}", run.denials.join(", ")));
    }
    live::say(&summary(run, duration));
    Ok(())
}

/// What it took.
fn summary(run: &Run, duration: Duration) -> String {
    let turns = run.turns.map(|turns| output::counted(turns.into(), "turn"));
    let cost = run.cost_usd.map_or_else(|| "cost unknown".to_owned(), |dollars| output::cost(Some(dollars)));
    let session = run.session_id.as_ref().map(|id| format!("session {id}"));
    let parts = [turns, Some(cost), Some(output::duration(duration)), session];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What a queue would do.
fn in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Complete => "complete".to_owned(),
        Verdict::Retry { after: None, .. } => "retry".to_owned(),
        Verdict::Retry { after: Some(least), .. } => format!("retry after {}", output::duration(*least)),
        Verdict::Resume { .. } => "go on in the session".to_owned(),
        Verdict::Snooze { wake: Wake::In(delay), .. } => format!("snooze for {}", output::duration(*delay)),
        Verdict::Snooze { wake: Wake::At(moment), .. } => format!("snooze until {}", output::time(*moment)),
        Verdict::Cancel { .. } => "cancel".to_owned(),
    }
}

impl<'a> Printed<'a> {
    fn new(run: &'a Run, verdict: &'a Verdict, duration: Duration) -> Self {
        Self {
            outcome: run.outcome_name(),
            verdict: verdict.name(),
            reason: verdict.reason(),
            text: run.text.as_deref(),
            structured: run.structured(),
            session_id: run.session_id.as_deref(),
            cost_usd: run.cost_usd,
            turns: run.turns,
            tokens: run.tokens,
            model: run.model.as_deref(),
            cli_version: run.cli_version.as_deref(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            denials: &run.denials,
            ending: run.ending.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
