//! [`Queue::tail`] and [`Queue::log`]: what one job's runs do, or have done.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::start;
use super::log::{LogEntry, LogPosition};
use super::{Event, EventKind};
use crate::engine::RunningRun;
use crate::error::{Error, Result};
use crate::job::{Job, JobId, RunRow, State};
use crate::queue::Queue;

/// How often it looks for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(60);

/// The most rows of a log in one look.
const PAGE: u32 = 500;

/// For how long the end of a run is kept back: its last events may be written after it.
const LINGER: Duration = Duration::from_millis(300);

impl Queue {
    /// The logs of all attempts of a job, oldest first: what its claude has said and done so far. Nothing where
    /// no log was written.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn log(&self, id: JobId) -> Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        let mut position = LogPosition::start_of(id);
        loop {
            let page = self.engine().log(&[position], PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            entries.extend(page);
            match entries.last() {
                Some(last) if !is_last => position = after(last),
                _ => return Ok(entries),
            }
        }
    }

    /// Follows a job, on whichever node it runs: from its first event on, through all its attempts, until the job
    /// is over. What its claude prints is here within 300 ms where the database answers at once.
    ///
    /// ```
    /// # use claude_jobs::prelude::*;
    /// # async fn example(queue: Queue, id: JobId) -> claude_jobs::Result<()> {
    /// let mut tail = queue.tail(id);
    /// while let Some(event) = tail.next().await? {
    ///     println!("{} {:?}", event.at, event.kind);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// For all jobs at once, take [`events`](Self::events) [with progress](super::Subscribe::with_progress).
    pub fn tail(&self, id: JobId) -> Tail {
        Tail {
            queue: self.clone(),
            follows: true,
            position: LogPosition::start_of(id),
            job: None,
            started: 0,
            ended: 0,
            ends: VecDeque::new(),
            next: VecDeque::new(),
            look: Instant::now(),
            is_over: false,
        }
    }
}

/// One job's events: see [`Queue::tail`].
#[derive(Debug)]
pub struct Tail {
    queue: Queue,
    follows: bool,
    position: LogPosition,
    /// As it was at the last look.
    job: Option<Job>,
    /// The last attempt whose start was told.
    started: u32,
    /// The last attempt whose end was read.
    ended: u32,
    /// Ends that are kept back, and since when.
    ends: VecDeque<(Instant, RunRow, Option<State>)>,
    next: VecDeque<Event>,
    look: Instant,
    is_over: bool,
}

impl Tail {
    /// Only what there is already: it ends there.
    #[must_use]
    pub fn until_now(self) -> Self {
        Self { follows: false, ..self }
    }

    /// The next event; `None` once the job is over and all is told. May be given up (`select!`) at any time
    /// without losing an event.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchJob`], also when the job is deleted meanwhile; [`Error::Database`], after which it may be
    /// asked again.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            tokio::time::sleep_until(self.look).await;
            self.look().await?;
        }
    }

    /// The job, as it was when it was last looked at.
    pub fn job(&self) -> Option<&Job> {
        self.job.as_ref()
    }

    /// All that is read is read before anything is changed: it may be given up in the middle.
    async fn look(&mut self) -> Result<()> {
        let (engine, id) = (self.queue.engine(), self.position.job);
        self.look = Instant::now() + LOOK_EVERY;
        // In this order: a run that is over has written all that is read after it, but for its last events.
        let job = engine.job(id).await?.ok_or(Error::NoSuchJob(id))?;
        let is_as_before = self
            .job
            .as_ref()
            .is_some_and(|before| (before.attempt, before.state) == (job.attempt, job.state));
        let runs = if is_as_before { Vec::new() } else { engine.runs(id).await? };
        let entries = engine.log(&[self.position], PAGE).await?;
        let (has_more, now) = (entries.len() >= PAGE as usize, Instant::now());
        for run in runs.into_iter().filter(|run| run.attempt > self.ended).collect::<Vec<_>>() {
            self.ended = run.attempt;
            let is_last = run.attempt == job.attempt && job.state != State::Executing;
            self.ends.push_back((now, run, is_last.then_some(job.state)));
        }
        for entry in entries {
            self.position = after(&entry);
            self.tell_ends(&job, |_, run| run.attempt < entry.attempt);
            self.tell_start(&job, entry.attempt, None);
            self.next.push_back(progress(&job, entry));
        }
        if has_more {
            self.look = now;
        } else {
            let is_over = !self.follows;
            self.tell_ends(&job, |since, _| is_over || now.duration_since(since) >= LINGER);
        }
        if self.ends.is_empty() && !has_more {
            if job.state == State::Executing {
                self.tell_start(&job, job.attempt, None);
            }
            self.is_over = job.state.is_final() || !self.follows;
        }
        self.job = Some(job);
        Ok(())
    }

    /// Tells the ends that were kept back, as long as they are due.
    fn tell_ends(&mut self, job: &Job, is_due: impl Fn(Instant, &RunRow) -> bool) {
        while let Some((since, run, _)) = self.ends.front()
            && is_due(*since, run)
            && let Some((_, run, state)) = self.ends.pop_front()
        {
            self.tell_start(job, run.attempt, Some(&run));
            let kind = EventKind::of_run(&run, state);
            let event = Event { at: run.finished_at, kind, ..begin(job, run.attempt, Some(&run)) };
            self.next.push_back(event);
        }
    }

    fn tell_start(&mut self, job: &Job, attempt: u32, run: Option<&RunRow>) {
        if attempt <= self.started {
            return;
        }
        self.started = attempt;
        let kept = self.ends.iter().map(|(_, run, _)| run).find(|run| run.attempt == attempt);
        let event = begin(job, attempt, run.or(kept));
        self.next.push_back(event);
    }
}

/// The start of an attempt: of one that is over by its row in the ledger.
fn begin(job: &Job, attempt: u32, run: Option<&RunRow>) -> Event {
    let started_at = run.map_or(job.attempted_at, |run| Some(run.started_at));
    start(&RunningRun {
        job: job.id,
        attempt,
        queue: job.queue.clone(),
        worker: job.worker.clone(),
        node: match run {
            Some(run) => run.node.clone(),
            None => job.node.clone().filter(|_| attempt == job.attempt),
        },
        started_at: started_at.unwrap_or(job.inserted_at),
    })
}

fn progress(job: &Job, entry: LogEntry) -> Event {
    let LogEntry { attempt, at, progress, .. } = entry;
    Event { at, kind: EventKind::Progress(progress), ..begin(job, attempt, None) }
}

fn after(entry: &LogEntry) -> LogPosition {
    LogPosition { job: entry.job, attempt: entry.attempt, number: entry.number }
}
