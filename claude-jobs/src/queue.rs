//! [`Queue`]: the user's handle. Connect, insert, look, and steer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::blocked::Blocked;
use crate::builder::{Draft, JobBuilder};
use crate::clock::Clock;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::engine::UserConnection;
use crate::engine::{Cancelled, Count, Engine, Filter, Purpose, QueueChange, QueueSettings, TickRow};
use crate::error::{Error, Result};
use crate::inserter::Inserter;
use crate::job::{AttemptError, Inserted, Job, JobId, JobRow, NewJob, RunRow, State};
use crate::known::Known;
use crate::registry::{BoxFuture, Registry};
use crate::telemetry::Inserting;
use crate::wakes::Wakes;
use crate::worker::Worker;

mod retrying;

/// A durable queue in a database. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Queue {
    engine: Arc<dyn Engine>,
    known: Known,
    wakes: Arc<Wakes>,
    inserter: Arc<Inserter>,
}

/// How many jobs are removed in one transaction, and how long others may write before the next one.
const PRUNE_BATCH: u32 = 1_000;
const PRUNE_PAUSE: Duration = Duration::from_millis(50);

/// By how many microseconds clocks may differ, or drift apart, without a warning.
const WORTH_A_WARNING: u64 = 2_000_000;

/// A job with its ledger and errors.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct JobDetails {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// Its settled attempts, oldest first.
    pub runs: Vec<RunRow>,
    /// Its failed attempts, oldest first.
    pub errors: Vec<AttemptError>,
}

impl Queue {
    /// Opens a database, makes its tables if they are not there, and knows every worker that is
    /// linked into this program.
    ///
    /// `sqlite://jobs.db` is a file (made if it is missing, in a folder that must exist),
    /// `sqlite::memory:` a database that ends with the handle.
    ///
    /// `postgres://user:password@host/database` is a PostgreSQL server, version 14 or newer, for many
    /// machines (with the feature `postgres`). Besides what PostgreSQL itself takes (`sslmode`, `host`, …)
    /// the URL takes
    ///
    /// | parameter | default | meaning |
    /// |---|---|---|
    /// | `schema` | `claude_jobs` | the schema that holds the tables; nothing else is touched |
    /// | `connections` | 10 | the most connections of this process, 1 to 1000; one more listens |
    /// | `notifications` | `on` | `off` behind a pooler that changes servers per transaction |
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] names the URL and what to do, [`Error::NewerSchema`] a database of a newer
    /// release, [`Error::DuplicateWorker`] two workers of one name.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::open(url, Purpose::Use).await
    }

    /// As [`connect`](Self::connect), or to look only.
    pub(crate) async fn open(url: &str, purpose: Purpose) -> Result<Self> {
        let registry = Registry::linked()?;
        let (engine, wakes) = (engine(url, purpose).await?, Arc::new(Wakes::new()));
        let inserter = Arc::new(Inserter::new(Arc::clone(&engine), Arc::clone(&wakes)));
        let known = Known::new(registry, Clock::system(), engine.database_id());
        let mut queue = Self { engine, known, wakes, inserter };
        queue.known.behind = queue.compare_clocks().await?.map(|behind| Arc::new(AtomicI64::new(behind)));
        Ok(queue)
    }

    /// Also knows this worker, which need not be linked through the attribute's own registration.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateWorker`] when another worker has its name.
    pub fn register<W: Worker>(mut self) -> Result<Self> {
        self.known.registry.add(W::registration())?;
        Ok(self)
    }

    /// Takes the time from this clock. PostgreSQL's own clock overrules it, for the sake of the fleet,
    /// unless it is one that is moved by hand.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.known = self.known.with_clock(clock);
        self
    }

    /// The clock it was given: the system's, or one that a test moves by hand.
    pub fn clock(&self) -> &Clock {
        &self.known.clock
    }

    /// Writes a job. When it returns, the job is durable. Jobs that are inserted at the same moment are
    /// committed together.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] and [`Error::InvalidJob`] for what cannot run, [`Error::UnknownWorker`],
    /// [`Error::Database`].
    pub async fn insert(&self, job: NewJob) -> Result<Inserted> {
        let inserting = Inserting::begin();
        let write = async {
            let row = self.known.row(inserting.trace(job), self.now())?;
            self.inserter.insert(row).await
        };
        inserting.watch(write, std::slice::from_ref).await
    }

    /// Writes jobs, all or none.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), for the first job that is wrong.
    pub async fn insert_many(&self, jobs: impl IntoIterator<Item = NewJob>) -> Result<Vec<Inserted>> {
        let inserting = Inserting::begin();
        let write = async {
            let rows = self.rows(jobs.into_iter().map(|job| inserting.trace(job)))?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let written = self.engine.insert(&rows).await?;
            self.wakes.wake_all();
            Ok(written.into_iter().zip(rows).map(|(written, row)| written.of(row)).collect())
        };
        inserting.watch(write, Vec::as_slice).await
    }

    /// Writes a job inside the caller's own transaction, on a connection to the same database; the
    /// job exists when that transaction commits.
    ///
    /// On SQLite begin it with `BEGIN IMMEDIATE`. One that reads before it writes can never write once another connection
    /// has written (`SQLITE_BUSY_SNAPSHOT`), and does not wait for one that is just writing.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`Error::OtherDatabase`].
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub async fn insert_in<C: UserConnection>(&self, connection: &mut C, job: NewJob) -> Result<Inserted> {
        let inserting = Inserting::begin();
        let write = async {
            let row = self.known.row(inserting.trace(job), self.now())?;
            let mut written = connection.insert(&*self.engine, std::slice::from_ref(&row)).await?;
            let written =
                written.pop().ok_or_else(|| Error::Database("the engine answered with no job".into()))?;
            Ok(written.of(row))
        };
        inserting.watch(write, std::slice::from_ref).await
    }

    /// The job of that number, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn get(&self, id: JobId) -> Result<Option<Job>> {
        self.engine.job(id).await
    }

    /// A job with its ledger and errors.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchJob`], [`Error::Database`].
    pub async fn details(&self, id: JobId) -> Result<JobDetails> {
        let job = self.engine.job(id).await?.ok_or(Error::NoSuchJob(id))?;
        let (runs, errors) = (self.engine.runs(id).await?, self.engine.errors(id).await?);
        Ok(JobDetails { job, runs, errors })
    }

    /// Jobs by filter, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Job>> {
        self.engine.jobs(filter).await
    }

    /// How many jobs there are per queue and state.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn counts(&self) -> Result<Vec<Count>> {
        self.engine.counts().await
    }

    /// Cancels a waiting job at once; asks the node that runs it to stop a running one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchJob`], [`Error::WrongState`] for a job that is over, [`Error::Database`].
    pub async fn cancel(&self, id: JobId) -> Result<Cancelled> {
        let cancelled = self.engine.cancel(id, self.now()).await?;
        self.wakes.wake_all();
        Ok(cancelled)
    }

    /// Why jobs do not start although they could: accounts that are not logged in, cannot pay or have reached a limit,
    /// and nodes on which claude cannot start.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn blocked(&self) -> Result<Vec<Blocked>> {
        Ok(Blocked::of(self.engine.accounts().await?, self.engine.nodes().await?))
    }

    /// Removes a job that is not running, with its ledger and errors.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchJob`], [`Error::WrongState`] for a running job, [`Error::Database`].
    pub async fn delete(&self, id: JobId) -> Result<()> {
        self.engine.delete(id).await
    }

    /// Removes the jobs in this final state that reached it longer ago than this, with their ledger and
    /// errors, and answers with how many. In batches of 1,000, so that others can write in between; what somebody else
    /// removes at the same moment is left to them. A job that is removed holds its unique key no longer.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJob`] for a state that is not final, [`Error::Database`].
    pub async fn prune(&self, state: State, older_than: Duration) -> Result<u64> {
        let before = self.prunes_before(state, older_than)?;
        let mut pruned = 0;
        loop {
            let removed = self.engine.prune(state, before, PRUNE_BATCH).await?;
            pruned += removed;
            if removed == 0 {
                return Ok(pruned);
            }
            tokio::time::sleep(PRUNE_PAUSE).await;
        }
    }

    /// How many jobs [`prune`](Self::prune) would remove.
    ///
    /// # Errors
    ///
    /// As [`prune`](Self::prune).
    pub async fn prunable(&self, state: State, older_than: Duration) -> Result<u64> {
        self.engine.prunable(state, self.prunes_before(state, older_than)?).await
    }

    fn prunes_before(&self, state: State, older_than: Duration) -> Result<Timestamp> {
        if !state.is_final() {
            let rule = "only `completed`, `discarded` and `cancelled` jobs are pruned";
            return Err(Error::InvalidJob(format!("state `{state}`: {rule}")));
        }
        Ok(crate::clock::earlier(self.now(), older_than))
    }

    /// What became of the ticks of a schedule's entry, newest first: of a worker with `cron`, or of
    /// [`RuntimeBuilder::cron`](crate::runtime::RuntimeBuilder::cron). They are kept for 30 days.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn ticks(&self, entry: &str, limit: u32) -> Result<Vec<TickRow>> {
        self.engine.ticks(entry, limit).await
    }

    /// Settings of the queues that have any.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn queues(&self) -> Result<Vec<QueueSettings>> {
        self.engine.queues().await
    }

    /// Stops claims from a queue, on every node. Running jobs go on.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJob`] for a name that no queue can have, [`Error::Database`].
    pub async fn pause(&self, queue: &str) -> Result<QueueSettings> {
        self.change(queue, QueueChange::Pause).await
    }

    /// Allows claims again, whatever stopped them: a pause, or an account that had reached a limit or was not logged
    /// in, if nodes of that account serve the queue. What stopped them may be met again by the next job.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJob`] for a name that no queue can have, [`Error::Database`].
    pub async fn resume(&self, queue: &str) -> Result<QueueSettings> {
        self.change(queue, QueueChange::Resume).await
    }

    /// Sets how many jobs of a queue each node runs at once; `None` goes back to each node's own
    /// configuration. Running jobs go on. A node whose slots are all taken learns of more within 5 s.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidJob`] for a name that no queue can have, [`Error::Database`].
    pub async fn scale(&self, queue: &str, concurrency: Option<u32>) -> Result<QueueSettings> {
        self.change(queue, QueueChange::Scale(concurrency)).await
    }

    async fn change(&self, queue: &str, change: QueueChange) -> Result<QueueSettings> {
        if !crate::job::is_label(queue) {
            let rule = crate::job::LABEL_RULE;
            return Err(Error::InvalidJob(format!("queue name `{}`: {rule}", queue.escape_default())));
        }
        let settings = self.engine.change_queue(queue, change).await?;
        self.wakes.wake_all();
        Ok(settings)
    }

    /// Checked rows of new jobs.
    pub(crate) fn rows(&self, jobs: impl IntoIterator<Item = NewJob>) -> Result<Vec<JobRow>> {
        self.known.rows(jobs)
    }

    /// What it knows without asking its database.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// The workers this queue knows.
    pub fn registry(&self) -> &Registry {
        &self.known.registry
    }

    /// The engine below: for the conformance suite, and for what the queue itself does not offer.
    #[doc(hidden)]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// How long to sleep in earnest for this long by the clock.
    pub(crate) fn sleep(&self, wait: Duration) -> Duration {
        self.clock().sleep(wait)
    }

    /// The present moment: the database's, where it has a clock, so that all nodes agree on what is due
    /// however far off their own clocks are.
    pub(crate) fn now(&self) -> Timestamp {
        self.known.now()
    }

    /// Compares our clock with the database's anew: clocks drift, and are set.
    pub(crate) async fn set_clock(&self) -> Result<()> {
        let (Some(behind), Some(new)) = (&self.known.behind, self.compare_clocks().await?) else {
            return Ok(());
        };
        behind.store(new, Ordering::Relaxed);
        Ok(())
    }

    /// How far the database's clock is ahead of ours.
    async fn compare_clocks(&self) -> Result<Option<i64>> {
        let asked = self.clock().now();
        let Some(theirs) = self.engine.clock().await? else { return Ok(None) };
        let answered = self.clock().now();
        // It was read somewhere between question and answer.
        let middle = asked.as_microsecond().midpoint(answered.as_microsecond());
        let behind = theirs.as_microsecond().saturating_sub(middle);
        let before = self.known.behind.as_ref().map_or(0, |behind| behind.load(Ordering::Relaxed));
        if behind.abs_diff(before) > WORTH_A_WARNING {
            let seconds = behind as f64 / 1e6;
            tracing::warn!("the database's clock, which counts, is {seconds:+.1} s ahead of this machine's");
        }
        Ok(Some(behind))
    }

    pub(crate) fn wakes(&self) -> &Arc<Wakes> {
        &self.wakes
    }
}

impl Queue {
    /// On the heap, so that what it takes to insert a job is compiled here once and not at every call in the
    /// user's program.
    fn insert_draft(&self, draft: Box<Draft>) -> BoxFuture<'_, Result<Inserted>> {
        Box::pin(async move { self.insert(draft.into_new_job()?).await })
    }
}

impl<W: Worker> JobBuilder<W> {
    /// Writes the job. When it returns, the job is durable.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgs`] and [`Error::InvalidJob`] for what cannot run, [`Error::Database`].
    pub fn insert(self, queue: &Queue) -> impl Future<Output = Result<Inserted>> + Send {
        queue.insert_draft(self.into_draft())
    }

    /// Writes the job inside the caller's own transaction; it exists when that commits. On SQLite begin it with
    /// `BEGIN IMMEDIATE`: see [`Queue::insert_in`].
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub async fn insert_in<C: UserConnection>(self, queue: &Queue, connection: &mut C) -> Result<Inserted> {
        queue.insert_in(connection, self.into_new_job()?).await
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// On the heap, as [`Queue::insert_draft`]: no part of a database's driver is compiled in the user's program.
fn engine(url: &str, purpose: Purpose) -> BoxFuture<'_, Result<Arc<dyn Engine>>> {
    Box::pin(crate::engine::url::open(url, purpose))
}
