//! [`Inserter`]: group commit for single inserts.
//!
//! A commit costs a disk sync, and in PostgreSQL a notification that serialises commits. Jobs that
//! arrive while one batch is being written go together into the next, and an insert still returns only
//! when its own commit has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::engine::{Engine, was_refused};
use crate::error::{Error, Result, in_its_words};
use crate::job::{Inserted, JobRow};
use crate::wakes::Wakes;

/// For no longer than this a batch waits to become as large as the one before it.
const TOGETHER: Duration = Duration::from_micros(100);

/// The most jobs in one batch.
const MOST: usize = 1_000;

pub(crate) struct Inserter {
    engine: Arc<dyn Engine>,
    wakes: Arc<Wakes>,
    line: Mutex<Line>,
}

/// Who waits to be written.
#[derive(Default)]
struct Line {
    waiting: Vec<Waiting>,
    /// Whether a task is writing; it takes who comes meanwhile.
    is_served: bool,
}

struct Waiting {
    row: JobRow,
    answer: oneshot::Sender<Result<Inserted>>,
}

impl Inserter {
    pub(crate) fn new(engine: Arc<dyn Engine>, wakes: Arc<Wakes>) -> Self {
        Self { engine, wakes, line: Mutex::default() }
    }

    /// Writes a job. When it returns, the job is durable.
    pub(crate) async fn insert(self: &Arc<Self>, row: JobRow) -> Result<Inserted> {
        let (answer, answered) = oneshot::channel();
        if self.queue_up(Waiting { row, answer }) {
            // A task of its own: whoever inserts may stop waiting at any time, the others must not
            // depend on it.
            tokio::spawn(Arc::clone(self).serve());
        }
        answered.await.unwrap_or_else(|_| Err(Error::Database("the async runtime has shut down".into())))
    }

    /// Whether nobody serves the line.
    fn queue_up(&self, waiting: Waiting) -> bool {
        let mut line = self.line();
        line.waiting.push(waiting);
        !std::mem::replace(&mut line.is_served, true)
    }

    async fn serve(self: Arc<Self>) {
        let mut leave = Leave { inserter: &self, in_order: false };
        let mut last = 0;
        loop {
            self.gather(last).await;
            let batch: Vec<_> = {
                let mut line = self.line();
                if line.waiting.is_empty() {
                    line.is_served = false;
                    leave.in_order = true;
                    return;
                }
                let some = line.waiting.len().min(MOST);
                line.waiting.drain(..some).collect()
            };
            last = batch.len();
            self.write(batch).await;
        }
    }

    /// Who inserted together with others a moment ago will again: worth the wait, which is much shorter
    /// than a commit. Whoever inserts alone never waits.
    async fn gather(&self, last: usize) {
        let started = Instant::now();
        while last > 1 && self.line().waiting.len() < last && started.elapsed() < TOGETHER {
            tokio::task::yield_now().await;
        }
    }

    async fn write(&self, batch: Vec<Waiting>) {
        let (rows, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.row, waiting.answer)).unzip();
        match self.engine.insert(&rows).await {
            Ok(written) => {
                self.wake(&rows);
                for ((answer, written), row) in answers.into_iter().zip(written).zip(rows) {
                    let _ = answer.send(Ok(written.of(row)));
                }
            }
            // One row that the database refuses must not keep the others out.
            Err(error) if rows.len() > 1 && was_refused(&error) => {
                for (row, answer) in rows.into_iter().zip(answers) {
                    let written = self.engine.insert(std::slice::from_ref(&row)).await;
                    self.wake(std::slice::from_ref(&row));
                    let _ = answer.send(written.map(|mut written| written.swap_remove(0).of(row)));
                }
            }
            Err(error) => {
                let text = match &error {
                    Error::Database(source) => in_its_words(source.as_ref()),
                    other => other.to_string(),
                };
                let mut first = Some(error);
                for answer in answers {
                    let copy = || Error::Database(text.clone().into());
                    let _ = answer.send(Err(first.take().unwrap_or_else(copy)));
                }
            }
        }
    }

    fn wake(&self, rows: &[JobRow]) {
        let mut last = None;
        for row in rows {
            if last.replace(&row.queue) != Some(&row.queue) {
                self.wakes.wake(&row.queue);
            }
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Should the async runtime drop the task that writes, the next insert starts another.
struct Leave<'a> {
    inserter: &'a Inserter,
    in_order: bool,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.in_order {
            // Who still waits is told by the end of its channel.
            *self.inserter.line() = Line::default();
        }
    }
}
