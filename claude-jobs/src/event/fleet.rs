//! [`Queue::events`]: what happens on every node of the fleet, read from its database.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::IntoFuture;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::cursor::Cursor;
use super::log::{LogEntry, LogPosition};
use super::{Event, EventKind};
use crate::engine::{LedgerPage, LedgerRun, RunningRun};
use crate::error::Result;
use crate::job::JobId;
use crate::queue::Queue;
use crate::registry::BoxFuture;

/// How often it looks, unless told otherwise.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The most runs of the ledger, and the most rows of a log, in one look.
const PAGE: u32 = 500;

/// For how long the log of a run that is over is still read: its last events may be written after its end.
const LINGER: Duration = Duration::from_secs(1);

/// How long it waits after an error: at first, and at the longest.
const AFTER_ERROR: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Queue {
    /// Subscribes to what happens on every node, from now on: await it.
    ///
    /// Every run that is settled anywhere is told exactly once, with its cost: also across lost connections and
    /// restarts of the database, and in whatever order transactions are committed. Their costs add up to those of
    /// the ledger. A job that is deleted or pruned before it is told is not told: its ledger is gone with it.
    ///
    /// The start of a run is told before its end. [With progress](Subscribe::with_progress) so is what its claude says
    /// and does.
    ///
    /// ```
    /// use claude_jobs::event::EventKind;
    /// use claude_jobs::prelude::*;
    ///
    /// # async fn example(queue: Queue) -> claude_jobs::Result<()> {
    /// let mut events = queue.events().await?;
    /// let mut dollars = 0.0;
    /// loop {
    ///     let event = events.next().await;
    ///     let Some(ended) = event.kind.ended() else { continue };
    ///     dollars += ended.cost_usd.unwrap_or(0.0);
    ///     println!("{} of {}: {} (${dollars} so far)", event.job, event.worker, event.kind.name());
    ///     let resume_here = events.cursor().to_string(); // to be kept: `queue.events().after(…)` goes on from it
    /// }
    /// # }
    /// ```
    ///
    /// It looks into the database [every](Subscribe::every) quarter of a second, by indexes, for as long as it is
    /// asked for the next event; nothing is asked where nobody subscribes.
    pub fn events(&self) -> Subscribe {
        let (queue, from) = (self.clone(), From::Now);
        Subscribe { queue, from, with_progress: false, every: LOOK_EVERY }
    }
}

/// A subscription that is about to begin: await it.
///
/// # Errors
///
/// [`Error::Database`](crate::Error::Database);
/// [`Error::Configuration`](crate::Error::Configuration) for a cursor of another database.
#[derive(Debug)]
#[must_use = "it does nothing unless it is awaited"]
pub struct Subscribe {
    queue: Queue,
    from: From,
    with_progress: bool,
    every: Duration,
}

#[derive(Debug)]
enum From {
    Now,
    Since(Timestamp),
    After(Cursor),
}

impl Subscribe {
    /// From there on where another subscription of this database had got to: [`Events::cursor`]. Of runs that are
    /// under way the start is told again.
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.from = From::After(cursor);
        self
    }

    /// Also the runs in the ledger that ended since then, by the database's clock where it has one. Looks through
    /// the whole ledger once.
    pub fn since(mut self, moment: Timestamp) -> Self {
        self.from = From::Since(moment);
        self
    }

    /// Also what runs print: their logs. Default: only starts and ends. The last of a run's progress may come up
    /// to a second after its end.
    pub fn with_progress(mut self) -> Self {
        self.with_progress = true;
        self
    }

    /// How often it looks into the database. Default: 250 ms; at least 10 ms.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Duration::from_millis(10));
        self
    }

    async fn start(self) -> Result<Events> {
        let engine = self.queue.engine();
        let cursor = match self.from {
            From::Now => engine.ledger_end(None).await?,
            From::Since(moment) => engine.ledger_end(Some(moment)).await?,
            From::After(cursor) => {
                // One that cannot be read says so now.
                engine.ledger(&cursor, 1).await?;
                cursor
            }
        };
        Ok(Events {
            queue: self.queue,
            told: cursor.clone(),
            read: cursor,
            next: VecDeque::new(),
            running: HashSet::new(),
            logs: self.with_progress.then(HashMap::new),
            every: self.every,
            look: Instant::now(),
            after_error: AFTER_ERROR.0,
        })
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Events>;
    type IntoFuture = BoxFuture<'static, Result<Events>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// What happens on every node: see [`Queue::events`].
#[derive(Debug)]
pub struct Events {
    queue: Queue,
    /// After the last run that was told.
    told: Cursor,
    /// After the last run that was read.
    read: Cursor,
    /// Read, and not yet told.
    next: VecDeque<(Event, Option<Cursor>)>,
    /// The runs whose start was told.
    running: HashSet<(JobId, u32)>,
    /// The logs that are read, where any are.
    logs: Option<HashMap<(JobId, u32), Reading>>,
    every: Duration,
    look: Instant,
    after_error: Duration,
}

/// A log that is being read.
#[derive(Debug)]
struct Reading {
    run: RunningRun,
    position: LogPosition,
    /// Set once the run is over.
    until: Option<Instant>,
}

impl Events {
    /// The next event, as soon as there is one. Where the database cannot be reached it goes on trying, and
    /// nothing is lost; the log (`tracing`) says so. May be given up (`select!`) at any time without losing an
    /// event.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some((event, cursor)) = self.next.pop_front() {
                if let Some(cursor) = cursor {
                    self.told = cursor;
                }
                return event;
            }
            self.told = self.read.clone();
            tokio::time::sleep_until(self.look).await;
            match self.look().await {
                Ok(()) => self.after_error = AFTER_ERROR.0,
                Err(error) => {
                    tracing::warn!(%error, "cannot read what happens, will try again");
                    self.look = Instant::now() + self.after_error;
                    self.after_error = (self.after_error * 2).min(AFTER_ERROR.1);
                }
            }
        }
    }

    /// Where to go on after the event that was told last, by [`Subscribe::after`]: for a handler that is to miss
    /// nothing while it is not there.
    pub fn cursor(&self) -> &Cursor {
        &self.told
    }

    /// All that is read is read before anything is changed: it may be given up in the middle.
    async fn look(&mut self) -> Result<()> {
        let engine = self.queue.engine();
        // In this order: what ends in between has not ended yet, as far as it is told.
        let running = engine.running().await?;
        let entries = match &self.logs {
            None => Vec::new(),
            Some(logs) => {
                let started = running.iter().filter(|run| !logs.contains_key(&(run.job, run.attempt)));
                let positions = logs.values().map(|reading| reading.position).chain(started.map(start_of));
                engine.log(&positions.collect::<Vec<_>>(), PAGE).await?
            }
        };
        let page = engine.ledger(&self.read, PAGE).await?;
        let gone = self.gone(&running, &page).await?;
        let now = Instant::now();
        let is_behind = page.has_more || entries.len() >= PAGE as usize;
        running.into_iter().for_each(|run| self.started(run));
        entries.into_iter().for_each(|entry| self.printed(entry));
        self.ended(page, now);
        gone.into_iter().for_each(|run| self.over(run, now));
        if let Some(logs) = &mut self.logs {
            logs.retain(|_, reading| reading.until.is_none_or(|until| until > now));
        }
        self.look = if is_behind { now } else { now + self.every };
        Ok(())
    }

    /// Runs whose start was told and whose end never will be: their jobs were deleted before it was read.
    async fn gone(&self, running: &[RunningRun], page: &LedgerPage) -> Result<Vec<(JobId, u32)>> {
        let running = running.iter().map(|run| (run.job, run.attempt));
        let ended = page.runs.iter().map(|ended| (ended.job, ended.run.attempt));
        let seen: HashSet<_> = running.chain(ended).collect();
        let mut gone = Vec::new();
        // What is not read yet may be on the next page.
        for run in self.running.difference(&seen).filter(|_| !page.has_more) {
            let ledger = self.queue.engine().runs(run.0).await?;
            if ledger.iter().all(|row| row.attempt != run.1) {
                gone.push(*run);
            }
        }
        Ok(gone)
    }

    fn over(&mut self, run: (JobId, u32), now: Instant) {
        self.running.remove(&run);
        if let Some(reading) = self.logs.as_mut().and_then(|logs| logs.get_mut(&run)) {
            reading.until.get_or_insert(now + LINGER);
        }
    }

    fn started(&mut self, run: RunningRun) {
        let key = (run.job, run.attempt);
        if !self.running.insert(key) {
            return;
        }
        self.next.push_back((start(&run), None));
        if let Some(logs) = &mut self.logs {
            let position = start_of(&run);
            logs.entry(key).or_insert(Reading { run, position, until: None });
        }
    }

    fn printed(&mut self, entry: LogEntry) {
        let Some(logs) = &mut self.logs else { return };
        // A position goes on into the next attempt, which has one of its own.
        let Some(reading) = logs.get_mut(&(entry.job, entry.attempt)) else { return };
        if entry.number <= reading.position.number {
            return;
        }
        reading.position.number = entry.number;
        let RunningRun { queue, worker, node, .. } = reading.run.clone();
        let LogEntry { job, attempt, at, progress, .. } = entry;
        let event = Event { job, attempt, queue, worker, node, at, kind: EventKind::Progress(progress) };
        self.next.push_back((event, None));
    }

    fn ended(&mut self, page: LedgerPage, now: Instant) {
        for LedgerRun { job, queue, worker, state, run, cursor } in page.runs {
            let key = (job, run.attempt);
            let (started_at, node) = (run.started_at, run.node.clone());
            let begun = RunningRun { job, attempt: run.attempt, queue, worker, node, started_at };
            self.started(begun.clone());
            self.over(key, now);
            let RunningRun { queue, worker, node, .. } = begun;
            let kind = EventKind::of_run(&run, state);
            let event = Event { job, attempt: run.attempt, queue, worker, node, at: run.finished_at, kind };
            self.next.push_back((event, Some(cursor)));
        }
        self.read = page.cursor;
    }
}

/// Before the first event of that attempt.
fn start_of(run: &RunningRun) -> LogPosition {
    LogPosition { job: run.job, attempt: run.attempt, number: 0 }
}

pub(super) fn start(run: &RunningRun) -> Event {
    let RunningRun { job, attempt, queue, worker, node, started_at } = run.clone();
    Event { job, attempt, queue, worker, node, at: started_at, kind: EventKind::Started }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
