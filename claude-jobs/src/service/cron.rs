//! Inserts the jobs of schedules: one per tick, however many nodes have the entry, and no node leads.
//!
//! Whoever first records a tick inserts its job, in one transaction; the others find it recorded. What is
//! to be done about ticks that were missed is worked out by [`Missed::plan`].

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::clock::{between, earlier};
use crate::engine::{Tick, TickAction, TickOutcome, TickRow};
use crate::error::{Error, Result};
use crate::job::{JobRow, NewJob, is_label};
use crate::queue::Queue;
use crate::runtime::shared::Shared;
use crate::schedule::{Cron, IfBusy, Missed, Planned, Schedule};
use crate::telemetry::{careful, context_of, meter, spans};

/// How long it sleeps at the most: the wall clock may be set while it does.
const LONGEST: Duration = Duration::from_secs(60);

/// How long it waits after an error.
const AFTER_ERROR: Duration = Duration::from_secs(5);

/// How far back missed ticks are looked for, so that a look after years does not count millions.
const HORIZON: Duration = Duration::from_secs(366 * 86_400);

/// An entry that is ready to be served.
pub(crate) struct Entry {
    name: String,
    schedule: Schedule,
    missed: Missed,
    if_busy: IfBusy,
    job: NewJob,
    /// Until when its ticks are dealt with; none before the first look.
    seen: Option<Timestamp>,
}

/// The entries of the workers and of the runtime, checked.
pub(crate) fn entries(queue: &Queue, configured: Vec<(Cron, Result<NewJob>)>) -> Result<Vec<Entry>> {
    let of_workers = queue.registry().definitions().filter_map(|definition| {
        let cron = definition.cron?;
        let entry = Cron::new(definition.name, cron.expression)
            .time_zone(cron.time_zone)
            .missed(cron.missed)
            .if_busy(cron.if_busy);
        Some((entry, Ok(NewJob::new(definition.name, json!({})))))
    });
    let mut names = HashSet::new();
    let mut entries = Vec::new();
    for (cron, job) in of_workers.chain(configured) {
        if !names.insert(cron.name.clone()) {
            let remedy = "give each its own name (a worker with `cron` has the worker's)";
            return Err(Error::Configuration(format!(
                "cron entry `{}` is configured twice: {remedy}",
                cron.name
            )));
        }
        entries.push(Entry::new(queue, cron, job?)?);
    }
    Ok(entries)
}

pub(crate) async fn serve(shared: Arc<Shared>, mut entries: Vec<Entry>, shutdown: CancellationToken) {
    loop {
        let wait = match once(&shared.queue, &mut entries).await {
            Ok(()) => until_next(&entries, shared.queue.now()),
            Err(_) => AFTER_ERROR,
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(shared.queue.sleep(wait)) => {}
        }
    }
}

/// One look at every entry. An entry that fails does not keep the others from theirs.
///
/// # Errors
///
/// The last one; each is logged.
pub(crate) async fn once(queue: &Queue, entries: &mut [Entry]) -> Result<()> {
    let mut result = Ok(());
    for entry in entries {
        if let Err(error) = entry.look(queue).await {
            tracing::error!(
                entry = entry.name,
                error = %careful(&error),
                "cannot insert the jobs that are due, will try again"
            );
            meter::database_error("cron");
            result = Err(error);
        }
    }
    result
}

/// The next tick of any entry.
pub(crate) fn next(entries: &[Entry], now: Timestamp) -> Option<Timestamp> {
    entries.iter().filter_map(|entry| entry.schedule.after(now)).min()
}

/// Until the next tick of any entry.
fn until_next(entries: &[Entry], now: Timestamp) -> Duration {
    // The timer may be a little ahead of the wall clock.
    let least = Duration::from_millis(1);
    next(entries, now).map_or(LONGEST, |next| between(now, next).clamp(least, LONGEST))
}

impl Entry {
    fn new(queue: &Queue, cron: Cron, job: NewJob) -> Result<Self> {
        let name = cron.name;
        let wrong = |problem: String| Error::Configuration(format!("cron entry `{name}`: {problem}"));
        if !is_label(&name) {
            return Err(Error::Configuration(format!(
                "cron entry `{}`: {}",
                name.escape_default(),
                crate::job::LABEL_RULE
            )));
        }
        let schedule = Schedule::parse(&cron.expression, &cron.time_zone).map_err(wrong)?;
        // What cannot be inserted is refused now, not at nine in the morning.
        queue.rows([job.clone()]).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { schedule, missed: cron.missed, if_busy: cron.if_busy, job, seen: None, name })
    }

    async fn look(&mut self, queue: &Queue) -> Result<()> {
        let now = queue.now();
        // A clock that was set back repeats ticks; those are recorded already.
        let seen = self.seen(queue, now).await?.min(now).max(earlier(now, HORIZON));
        for planned in self.missed.plan(self.schedule.ticks(seen, now), now) {
            self.record(queue, planned, now).await?;
            self.seen = Some(planned.due);
        }
        self.seen = Some(now);
        Ok(())
    }

    /// Until when ticks are dealt with. At the first look that is the newest recorded tick; but where the
    /// entry is new, or had another schedule when that was recorded, it is the present moment: what a
    /// changed expression would have been due for in the past is not missed.
    async fn seen(&mut self, queue: &Queue, now: Timestamp) -> Result<Timestamp> {
        if let Some(seen) = self.seen {
            return Ok(seen);
        }
        let newest = queue.engine().last_tick(&self.name, now).await?;
        if let Some(newest) = newest.filter(|tick| tick.schedule == self.schedule.to_string()) {
            return Ok(newest.due);
        }
        queue.engine().tick(&self.tick(now, 0, now, TickAction::FirstSeen)).await?;
        self.seen = Some(now);
        Ok(now)
    }

    async fn record(&self, queue: &Queue, planned: Planned, now: Timestamp) -> Result<()> {
        let Planned { due, runs, missed } = planned;
        let tick = if runs {
            self.insert(queue, due, missed, now).await?
        } else {
            queue.engine().tick(&self.tick(due, missed, now, TickAction::Miss)).await?
        };
        let Some(tick) = tick else { return Ok(()) };
        if missed > 0 {
            let (entry, policy) = (&self.name, self.missed);
            tracing::warn!(entry, missed, ?policy, %due, "ticks were missed and are not run");
        }
        let (entry, job) = (&self.name, tick.job_id.map(|id| id.0));
        tracing::info!(entry, %due, outcome = tick.outcome.name(), job.id = job, "tick");
        if tick.outcome == TickOutcome::Inserted {
            queue.wakes().wake_all();
        }
        Ok(())
    }

    async fn insert(
        &self,
        queue: &Queue,
        due: Timestamp,
        missed: u64,
        now: Timestamp,
    ) -> Result<Option<TickRow>> {
        let span = spans::insert();
        let row = self.row(queue, due, &span)?;
        let of_queue = row.queue.clone();
        let tick = self.tick(due, missed, now, TickAction::Insert(Box::new(row), self.if_busy));
        let tick = queue.engine().tick(&tick).instrument(span.clone()).await?;
        if let Some(tick) = &tick
            && matches!(tick.outcome, TickOutcome::Inserted | TickOutcome::Duplicate)
        {
            let is_duplicate = tick.outcome == TickOutcome::Duplicate;
            spans::ticked(&span, &of_queue, &self.job.worker, tick.job_id, is_duplicate);
            meter::inserted(&of_queue, &self.job.worker, is_duplicate);
        }
        Ok(tick)
    }

    /// The job of a tick, which says in its notes whose it is.
    fn row(&self, queue: &Queue, due: Timestamp, span: &Span) -> Result<JobRow> {
        let mut job = self.job.clone();
        job.trace = job.trace.or_else(|| context_of(span));
        job.meta.insert("cron".to_owned(), json!({ "entry": self.name, "due": due.to_string() }));
        let row = queue.rows([job])?.pop();
        row.ok_or_else(|| Error::Configuration(format!("cron entry `{}` has no job", self.name)))
    }

    fn tick(&self, due: Timestamp, missed: u64, now: Timestamp, action: TickAction) -> Tick {
        let (entry, schedule) = (self.name.clone(), self.schedule.to_string());
        Tick { entry, schedule, due, recorded_at: now, missed, action }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
