//! What is counted, and when. Without the feature `metrics` nothing is, at no cost.

use crate::job::{Job, Tokens};
use crate::settlement::Settlement;

use super::tables;
#[cfg(not(feature = "metrics"))]
use nothing::{add, count, observe, set};
#[cfg(feature = "metrics")]
use recorded::{add, count, observe, set};

/// A job was to be written.
pub(crate) fn inserted(queue: &str, worker: &str, is_duplicate: bool) {
    count(if is_duplicate { tables::DUPLICATES } else { tables::INSERTED }, &[queue, worker], 1);
}

/// A claim was answered with these.
pub(crate) fn claimed(jobs: &[Job]) {
    if cfg!(feature = "metrics") {
        jobs.iter().for_each(|job| count(tables::CLAIMED, &[&job.queue, &job.worker], 1));
    }
}

/// An attempt that runs, until it is dropped.
pub(crate) struct Running<'a>(&'a Job);

/// An attempt starts at this moment.
pub(crate) fn started(job: &Job, now: impl FnOnce() -> jiff::Timestamp) -> Running<'_> {
    if cfg!(feature = "metrics") {
        let labels = [job.queue.as_str(), job.worker.as_str()];
        count(tables::STARTED, &labels, 1);
        add(tables::RUNNING, &labels, 1.0);
        let waited = crate::clock::between(job.scheduled_at, now());
        observe(tables::QUEUE_LATENCY, &labels[..1], waited.as_secs_f64());
    }
    Running(job)
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        add(tables::RUNNING, &[&self.0.queue, &self.0.worker], -1.0);
    }
}

/// A settlement was written, or the job had become another run's.
pub(crate) fn settled(job: &Job, settlement: &Settlement, is_ours: bool) {
    if !cfg!(feature = "metrics") {
        return;
    }
    let (queue, worker, run) = (job.queue.as_str(), job.worker.as_str(), &settlement.run);
    if !is_ours {
        return count(tables::SUPERSEDED, &[queue, worker], 1);
    }
    count(tables::SETTLED, &[queue, worker, &run.verdict, &run.outcome], 1);
    if settlement.snoozed {
        count(tables::SNOOZED, &[queue, worker], 1);
    }
    observe(tables::RUN_DURATION, &[queue, worker, &run.outcome], run.duration().as_secs_f64());
    spent(queue, worker, run.cost_usd, run.tokens);
    settlement.follow_ons.iter().for_each(|row| inserted(&row.queue, &row.worker, false));
}

fn spent(queue: &str, worker: &str, cost_usd: Option<f64>, tokens: Option<Tokens>) {
    match cost_usd {
        Some(dollars) => count(tables::COST, &[queue, worker], (dollars * 1e6).round().max(0.0) as u64),
        None => count(tables::COST_UNKNOWN, &[queue, worker], 1),
    }
    let Some(Tokens { input, output, cache_read, cache_creation }) = tokens else { return };
    for (kind, tokens) in
        [("input", input), ("output", output), ("cache_read", cache_read), ("cache_creation", cache_creation)]
    {
        count(tables::TOKENS, &[queue, worker, kind], tokens);
    }
}

/// This node has ended an attempt of a dead one.
pub(crate) fn rescued(job: &Job, settlement: &Settlement) {
    count(tables::RESCUED, &[&job.queue, &job.worker, &settlement.run.verdict], 1);
}

/// This node was declared dead.
pub(crate) fn lease_lost() {
    count(tables::LEASE_LOST, &[], 1);
}

/// An operation has failed and is tried again.
pub(crate) fn database_error(operation: &'static str) {
    count(tables::DATABASE_ERRORS, &[operation], 1);
}

/// Whether claims are stopped by this.
pub(crate) fn claims_stopped(by: &'static str, is_stopped: bool) {
    set(tables::CLAIMS_STOPPED, &[by], f64::from(u8::from(is_stopped)));
}

/// So many jobs of the queue are in the state.
#[cfg(feature = "metrics")]
pub(crate) fn queue_jobs(queue: &str, state: crate::State, jobs: u64) {
    set(tables::QUEUE_JOBS, &[queue, state.name()], jobs as f64);
}

#[cfg(feature = "metrics")]
pub use recorded::describe_metrics;

/// Nobody counts.
#[cfg(not(feature = "metrics"))]
mod nothing {
    use crate::telemetry::tables::MetricRow;

    pub(super) const fn count(_: &'static MetricRow, _: &[&str], _: u64) {}
    pub(super) const fn observe(_: &'static MetricRow, _: &[&str], _: f64) {}
    pub(super) const fn add(_: &'static MetricRow, _: &[&str], _: f64) {}
    pub(super) const fn set(_: &'static MetricRow, _: &[&str], _: f64) {}
}

/// By the crate `metrics`. The labels are those of the row, in its order.
#[cfg(feature = "metrics")]
mod recorded {
    use metrics::{Key, KeyName, Label, Level, Metadata, Unit, with_recorder};

    use crate::telemetry::tables::{METRICS, MetricKind, MetricRow};

    static METADATA: Metadata<'static> = Metadata::new("claude_jobs", Level::INFO, Some("claude_jobs"));

    fn key(row: &'static MetricRow, labels: &[&str]) -> Key {
        debug_assert_eq!(row.labels.len(), labels.len(), "{}", row.name);
        let labels =
            row.labels.iter().zip(labels).map(|(name, value)| Label::new(*name, (*value).to_owned()));
        Key::from_parts(row.name, labels.collect::<Vec<_>>())
    }

    pub(super) fn count(row: &'static MetricRow, labels: &[&str], by: u64) {
        let key = key(row, labels);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA).increment(by));
    }

    pub(super) fn observe(row: &'static MetricRow, labels: &[&str], value: f64) {
        let key = key(row, labels);
        with_recorder(|recorder| recorder.register_histogram(&key, &METADATA).record(value));
    }

    pub(super) fn add(row: &'static MetricRow, labels: &[&str], by: f64) {
        let key = key(row, labels);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).increment(by));
    }

    pub(super) fn set(row: &'static MetricRow, labels: &[&str], value: f64) {
        let key = key(row, labels);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(value));
    }

    /// Tells the recorder that is installed what each metric means. For programs that install their own.
    pub fn describe_metrics() {
        with_recorder(|recorder| {
            for row in METRICS {
                let (name, meaning) = (KeyName::from_const_str(row.name), row.meaning.into());
                let unit = if row.unit == "seconds" { Unit::Seconds } else { Unit::Count };
                match row.kind {
                    MetricKind::Counter => recorder.describe_counter(name, Some(unit), meaning),
                    MetricKind::Gauge => recorder.describe_gauge(name, Some(unit), meaning),
                    MetricKind::Histogram => recorder.describe_histogram(name, Some(unit), meaning),
                }
            }
        });
    }
}
