//! What must hold after every storm, told from the database and the journal of the runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use claude_jobs::JobId;
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_tests::chaos::journal::{Event, Journal};
use claude_jobs_tests::chaos::node::{Fleet, Node};

/// What was seen, for the summary.
pub(crate) struct Tally {
    pub(crate) states: BTreeMap<&'static str, usize>,
    /// Runs that the fake began.
    pub(crate) runs: usize,
    /// Ledger rows by outcome.
    pub(crate) outcomes: BTreeMap<String, usize>,
    /// Settlements that came too late, as the nodes logged them.
    pub(crate) superseded: usize,
}

/// Asserts everything about jobs, ledger and journal; all that is wrong is told at once.
pub(crate) async fn judge(queue: &Queue, journal: &Journal, jobs: usize) -> Tally {
    let entries = journal.entries();
    let of = |event: Event| {
        let its = entries.iter().filter(move |entry| entry.event == event);
        its.map(|entry| (entry.job, entry.attempt)).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for entry in entries.iter().filter(|entry| entry.event == Event::Overlap) {
        let others: Vec<_> = entries.iter().filter(|other| other.job == entry.job).collect();
        wrong.push(format!("two live runs of job {}: {others:?}", entry.job));
    }
    let (started, ended) = (of(Event::Start), of(Event::End));
    let (started_once, ended) = (HashSet::<_>::from_iter(started.clone()), HashSet::<_>::from_iter(ended));
    if started.len() != started_once.len() {
        wrong.push("an attempt was started twice".to_owned());
    }

    let ids = all(queue).await;
    if ids.len() != jobs {
        wrong.push(format!("{} jobs instead of {jobs}", ids.len()));
    }
    let mut tally =
        Tally { states: BTreeMap::new(), runs: started.len(), outcomes: BTreeMap::new(), superseded: 0 };
    let mut attempts = BTreeMap::new();
    for id in ids {
        let details = queue.details(id).await.expect("it is there");
        let job = &details.job;
        attempts.insert(id.0, job.attempt);
        *tally.states.entry(job.state.name()).or_default() += 1;
        let ledger: Vec<_> = details.runs.iter().map(|run| run.attempt).collect();
        let wanted: Vec<_> = (1..=job.attempt).collect();
        if ledger != wanted {
            wrong.push(format!("job {id}, attempt {}: ledger rows for {ledger:?}", job.attempt));
        }
        let completed = details.runs.iter().filter(|run| run.verdict == "complete").count();
        if completed != usize::from(job.state == State::Completed) {
            wrong.push(format!("job {id} is {} with {completed} completions", job.state.name()));
        }
        let allowed = [State::Completed, State::Discarded];
        if !allowed.contains(&job.state) {
            wrong.push(format!("job {id} is {}: {:?}", job.state.name(), job.reason));
        }
        if job.state == State::Discarded && job.max_attempts > 1 {
            wrong.push(format!("job {id} was discarded: {:?}, {:?}", job.reason, details.errors));
        }
        for run in &details.runs {
            *tally.outcomes.entry(run.outcome.clone()).or_default() += 1;
            // Some attempts only run the handler, with what an earlier one was answered.
            let is_of_claude = !run.ending.starts_with("not started");
            if is_of_claude && run.outcome == "success" && !ended.contains(&(id.0, run.attempt)) {
                wrong.push(format!("job {id}: a success of attempt {}, which no process ended", run.attempt));
            }
        }
    }
    let strangers: BTreeSet<_> = started_once
        .iter()
        .filter(|(job, attempt)| !attempts.get(job).is_some_and(|last| (1..=*last).contains(attempt)))
        .collect();
    if !strangers.is_empty() {
        wrong.push(format!("runs of no attempt: {strangers:?}"));
    }
    assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    tally
}

impl Tally {
    /// With what the nodes have logged.
    pub(crate) fn with_logs<'node>(mut self, nodes: impl IntoIterator<Item = &'node Node>) -> Tally {
        let count = |node: &Node| node.log().matches("superseded: nothing settled").count();
        self.superseded = nodes.into_iter().map(count).sum();
        self
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rescues = self.outcomes.get("lost").copied().unwrap_or_default();
        let Tally { states, runs, outcomes, superseded } = self;
        write!(
            formatter,
            "jobs {states:?}, {runs} runs, ledger {outcomes:?}, {rescues} rescues, {superseded} superseded"
        )
    }
}

/// Every job.
async fn all(queue: &Queue) -> Vec<JobId> {
    let mut filter = Filter::default();
    filter.limit = 500;
    let mut ids = Vec::new();
    loop {
        let page = queue.list(&filter).await.expect("the database is there");
        let Some(last) = page.last() else { return ids };
        filter.before = Some(last.id);
        ids.extend(page.iter().map(|job| job.id));
    }
}

/// Ends the nodes in order: no process of theirs or of a run is left.
pub(crate) fn end<'node>(nodes: impl IntoIterator<Item = &'node mut Node>, fleet: &Fleet) {
    for node in nodes {
        node.end(Duration::from_secs(30));
    }
    let left = fleet.processes();
    assert!(left.is_empty(), "these processes are alive: {left:?}");
}
