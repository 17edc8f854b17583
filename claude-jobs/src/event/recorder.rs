//! [`Recorder`]: takes the events of this process's runs and keeps them until they are written.
//!
//! It never waits: what does not fit is counted, and the log says how much is missing.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;

use super::log::{LogRow, MOST_BYTES, MOST_EVENTS, MOST_WAITING, RunLog};
use super::progress::{Progress, Reader, Why};
use crate::job::{Job, JobId};
use crate::known::Known;
use crate::secrets::Secrets;

/// Takes the events of runs. Clones are the same recorder.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Option<Arc<Shared>>);

/// The events that wait to be written.
pub(crate) struct Waiting(Arc<Shared>);

struct Shared {
    keeps: RunLog,
    secrets: Arc<Secrets>,
    /// Tells the time.
    known: Known,
    rows: Mutex<Rows>,
    /// Something waits.
    arrived: Notify,
}

#[derive(Default)]
struct Rows {
    waiting: VecDeque<LogRow>,
    /// The runs that have begun and are not over.
    runs: HashMap<(JobId, u32), Written>,
}

/// What was taken of a run.
#[derive(Default)]
struct Written {
    events: u64,
    bytes: u64,
    is_full: bool,
    /// Not yet said to be missing.
    missing: Missing,
}

#[derive(Default)]
struct Missing {
    slow: u64,
    refused: u64,
    full: u64,
}

impl Recorder {
    /// A recorder that keeps what `keeps` says, without these secrets.
    pub(crate) fn new(keeps: RunLog, known: &Known, secrets: Arc<Secrets>) -> Self {
        if keeps == RunLog::Off {
            return Self(None);
        }
        Self(Some(Arc::new(Shared {
            keeps,
            secrets,
            known: known.clone(),
            rows: Mutex::default(),
            arrived: Notify::new(),
        })))
    }

    /// What waits to be written; nothing ever where nothing is kept.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.0.as_ref().map(|shared| Waiting(Arc::clone(shared)))
    }

    /// A run begins: what it prints from now on is taken in, until the answer is dropped.
    pub(crate) fn begin(&self, job: &Arc<Job>) -> Recording {
        Recording(self.0.as_ref().map(|shared| {
            shared.lock().runs.insert((job.id, job.attempt), Written::default());
            (Arc::clone(shared), Arc::clone(job))
        }))
    }

    /// Takes in an event that a run's claude has printed.
    pub(crate) fn observe(&self, job: &Job, event: &Value) {
        let Some(shared) = &self.0 else { return };
        let reader = Reader { keeps: shared.keeps, secrets: &shared.secrets };
        let progress = reader.read(event);
        if progress.is_empty() {
            return;
        }
        let now = shared.known.now();
        let mut rows = shared.lock();
        progress.into_iter().for_each(|progress| rows.take(job, now, &progress));
        drop(rows);
        shared.arrived.notify_one();
    }
}

/// A run of which events are taken in. Dropped, also by a panic, when it is over: nothing more comes of it.
pub(crate) struct Recording(Option<(Arc<Shared>, Arc<Job>)>);

impl Drop for Recording {
    fn drop(&mut self) {
        let Some((shared, job)) = &self.0 else { return };
        let now = shared.known.now();
        let mut rows = shared.lock();
        rows.note_missing(job, now);
        rows.runs.remove(&(job.id, job.attempt));
        drop(rows);
        shared.arrived.notify_one();
    }
}

impl Rows {
    fn take(&mut self, job: &Job, now: Timestamp, progress: &Progress) {
        let has_room = self.waiting.len() < MOST_WAITING;
        let Some(run) = self.runs.get_mut(&(job.id, job.attempt)) else { return };
        if run.is_full {
            run.missing.full += 1;
        } else if run.events >= MOST_EVENTS || run.bytes >= MOST_BYTES {
            run.is_full = true;
            run.missing.full += 1;
            self.note_missing(job, now);
        } else if !has_room {
            run.missing.slow += 1;
        } else {
            if run.missing.slow + run.missing.refused > 0 {
                self.note_missing(job, now);
            }
            self.push(job, now, progress);
        }
    }

    /// Says what is missing, however many wait: it is little, and happens seldom.
    fn note_missing(&mut self, job: &Job, now: Timestamp) {
        let Some(run) = self.runs.get_mut(&(job.id, job.attempt)) else { return };
        let Missing { slow, refused, full } = std::mem::take(&mut run.missing);
        for (events, why) in [(slow, Why::Slow), (refused, Why::Refused), (full, Why::Full)] {
            if events > 0 {
                self.push(job, now, &Progress::Missing { events, why });
            }
        }
    }

    fn push(&mut self, job: &Job, at: Timestamp, progress: &Progress) {
        // It has neither maps with odd keys nor anything else that JSON cannot hold.
        let Ok(event) = serde_json::to_string(progress) else { return };
        let Some(run) = self.runs.get_mut(&(job.id, job.attempt)) else { return };
        run.events += 1;
        run.bytes += event.len() as u64;
        self.waiting.push_back(LogRow { job: job.id, attempt: job.attempt, number: run.events, at, event });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Resolves when something has come since the last time.
    pub(crate) async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    /// Takes the oldest.
    pub(crate) fn take(&self, most: usize) -> Vec<LogRow> {
        let mut rows = self.0.lock();
        let count = rows.waiting.len().min(most);
        rows.waiting.drain(..count).collect()
    }

    /// They could not be written now.
    pub(crate) fn put_back(&self, rows: Vec<LogRow>) {
        let mut all = self.0.lock();
        rows.into_iter().rev().for_each(|row| all.waiting.push_front(row));
    }

    /// They cannot be written at all.
    pub(crate) fn refused(&self, rows: &[LogRow]) {
        let mut all = self.0.lock();
        for row in rows {
            if let Some(run) = all.runs.get_mut(&(row.job, row.attempt)) {
                run.missing.refused += 1;
            }
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Recorder").field(&self.0.as_ref().map(|shared| shared.keeps)).finish()
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::NewJob;
    use crate::passthrough::Passthrough;
    use crate::queue::Queue;

    #[tokio::test]
    async fn nothing_is_kept_of_a_run_that_is_over_however_it_ended() {
        let queue = Queue::connect("sqlite::memory:").await.expect("a database");
        let queue = queue.register::<Passthrough>().expect("the name is free");
        let mut job = NewJob::new("claude", Value::Null);
        job.args.set("prompt", "x".into());
        let id = queue.insert(job).await.expect("an insert").id();
        let job = Arc::new(queue.get(id).await.expect("a read").expect("it is there"));
        let recorder = Recorder::new(RunLog::Full, queue.known(), Arc::default());
        let says =
            json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "I look."}]}});
        let runs = || recorder.0.as_ref().map(|shared| shared.lock().runs.len());
        let waits = || recorder.0.as_ref().map(|shared| shared.lock().waiting.len());

        let recording = recorder.begin(&job);
        recorder.observe(&job, &says);
        assert_eq!((runs(), waits()), (Some(1), Some(1)));
        drop(recording);
        // From a task that somebody has left behind.
        recorder.observe(&job, &says);
        assert_eq!((runs(), waits()), (Some(0), Some(1)));

        let panics = tokio::spawn({
            let (recorder, job, says) = (recorder.clone(), Arc::clone(&job), says.clone());
            async move {
                let _recording = recorder.begin(&job);
                recorder.observe(&job, &says);
                panic!("a broken run")
            }
        });
        panics.await.expect_err("it panics");
        assert_eq!((runs(), waits()), (Some(0), Some(2)));
    }
}
