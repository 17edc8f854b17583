//! [`Engine`]: where jobs are kept. An object-safe trait with one implementation per database.
//!
//! An engine writes values that were worked out before ([`JobRow`], [`Settlement`]); it holds no
//! policy, hands out no transaction, and is told what time it is.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::event::{Cursor, LogEntry, LogPosition};
use crate::job::{AttemptError, Job, JobId, JobRow, RunRow, State, Written};
use crate::settlement::Settlement;

mod access;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod damage;
mod feed;
mod limits;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod list;
mod opening;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod refusal;
mod rows;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod tick;
pub(crate) mod url;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod user_connection;

pub use access::Access;
pub use tick::{Tick, TickAction, TickOutcome, TickRow};

pub use crate::event::LogRow;
pub use feed::{Count, LedgerPage, LedgerRun, RunningRun};
pub use limits::{Limits, Rate};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use opening::COPIED;
#[cfg(feature = "cli")]
pub(crate) use opening::Inspection;
pub(crate) use opening::Purpose;
pub(crate) use refusal::{Parts, is_forbidden, was_refused};
pub use rows::{AccountRow, NodeRow};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use user_connection::UserConnection;

/// Where jobs are kept.
#[async_trait]
pub trait Engine: std::fmt::Debug + Send + Sync {
    /// What tells this database from every other; made with its tables.
    fn database_id(&self) -> Uuid;

    /// The schema of its tables, in a database that has schemas.
    fn schema(&self) -> Option<&str> {
        None
    }

    /// What opens this database. Default: nothing that could be told.
    fn access(&self) -> Access {
        Access::default()
    }

    /// Whether what this node reads is what every node reads, even while it cannot write. Default: no; a server may have
    /// been replaced by another that others write to.
    fn reads_what_all_read(&self) -> bool {
        false
    }

    /// Writes jobs, all or none. Durable when it returns. Says what became of each row.
    async fn insert(&self, rows: &[JobRow]) -> Result<Vec<Written>>;

    /// Ends runs and claims jobs, in one statement or one transaction where that is cheaper than two.
    ///
    /// A run ends with all that goes with it: row, ledger, error, follow-on jobs, queue pause. One
    /// that was superseded writes nothing, nor does one whose job would wait again although somebody has asked for its
    /// cancellation. A caller that did not get the answer may repeat the call: what was
    /// written is not written again, and counts as settled.
    ///
    /// A claim takes due jobs of one queue for a node: the first by priority, then time, then id.
    /// Nothing for a node that is not registered: its runs would have no lease. Whether jobs that these
    /// very settlements make claimable are among them is up to the engine.
    ///
    /// `Ok` also means that nothing else was claimed. Where that is not known it is an error, even if the
    /// settlements are written: the caller then says them again, and asks for what it [holds](Self::held).
    ///
    /// `now` is that of the claim, too.
    async fn turn(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest<'_>>,
        now: Timestamp,
    ) -> Result<Turn>;

    /// Whether two turns at once are done faster than one after the other. Default: yes.
    fn turns_overlap(&self) -> bool {
        true
    }

    /// Claims jobs, with nothing to settle.
    async fn claim(&self, request: &ClaimRequest<'_>) -> Result<Claimed> {
        Ok(self.turn(&[], Some(request), request.now).await?.claimed)
    }

    /// Ends runs, with nothing to claim. The answer is [`Turn::settled`].
    async fn settle(&self, settlements: &[Settlement], now: Timestamp) -> Result<Vec<Settled>> {
        Ok(self.turn(settlements, None, now).await?.settled)
    }

    /// Stores what claude has answered in an attempt, as JSON, in place of an earlier answer of that job. `false`: the
    /// attempt is not running any more, and nothing is stored.
    async fn keep_answer(&self, job: JobId, attempt: u32, answer: &str) -> Result<bool>;

    /// The stored answer of a job, as JSON, and the attempt that it came from.
    async fn answer(&self, job: JobId) -> Result<Option<(u32, String)>>;

    /// Notes that the claude of these attempts was seen to start ([`Job::begun`]). Attempts that are not running any more
    /// are left out.
    async fn mark_begun(&self, attempts: &[(JobId, u32)]) -> Result<()>;

    /// The jobs of a queue that a node has claimed and not settled: what a claim took whose answer was
    /// lost is among them.
    async fn held(&self, node: &str, queue: &str) -> Result<Vec<Job>>;

    /// The job of that number.
    async fn job(&self, id: JobId) -> Result<Option<Job>>;

    /// Jobs by filter, newest first.
    async fn jobs(&self, filter: &Filter) -> Result<Vec<Job>>;

    /// How many jobs there are per queue and state.
    async fn counts(&self) -> Result<Vec<Count>>;

    /// Whether jobs of these queues and workers are running, on any node, or could be claimed here and now: in
    /// one look, so that a job cannot pass from one to the other unseen.
    async fn is_busy(&self, look: &BusyLook<'_>) -> Result<bool>;

    /// A job's failed attempts, oldest first.
    async fn errors(&self, id: JobId) -> Result<Vec<AttemptError>>;

    /// A job's ledger, oldest first.
    async fn runs(&self, id: JobId) -> Result<Vec<RunRow>>;

    /// Adds rows to the logs of runs. Rows of an attempt that is not its job's last one are left out, and so are
    /// those that are there already.
    async fn write_log(&self, rows: &[LogRow]) -> Result<()>;

    /// The logs of jobs from these positions on, each in order and at most so many rows of it.
    async fn log(&self, after: &[LogPosition], limit: u32) -> Result<Vec<LogEntry>>;

    /// The runs of now, on any node.
    async fn running(&self) -> Result<Vec<RunningRun>>;

    /// Where the ledger ends now: what is committed later comes after it. Or, given a moment, its beginning,
    /// from which of all that is there now only runs are told that ended since then.
    async fn ledger_end(&self, since: Option<Timestamp>) -> Result<Cursor>;

    /// The ledger from there on: each run once, however the transactions that wrote them overlapped.
    async fn ledger(&self, after: &Cursor, limit: u32) -> Result<LedgerPage>;

    /// Cancels a waiting job, or asks for it where the job is running.
    async fn cancel(&self, id: JobId, now: Timestamp) -> Result<Cancelled>;

    /// Makes a job claimable at once, with at least one attempt left. What it was to continue is continued.
    async fn retry(&self, id: JobId, now: Timestamp) -> Result<Job>;

    /// Makes a job claimable at once, so that only its handler runs, with the stored answer.
    async fn retry_handler(&self, id: JobId, now: Timestamp) -> Result<Job>;

    /// Removes a job that is not running, with its ledger, errors and log.
    async fn delete(&self, id: JobId) -> Result<()>;

    /// Settings of the queues that have any.
    async fn queues(&self) -> Result<Vec<QueueSettings>>;

    /// Changes a queue's settings.
    async fn change_queue(&self, name: &str, change: QueueChange) -> Result<QueueSettings>;

    /// Registers a node, or renews its lease and what it says of itself. `false`: the node was declared dead and its jobs taken
    /// away; it must stop its runs and register anew under another id.
    async fn renew(&self, node: &NodeRow, registered: bool) -> Result<bool>;

    /// Removes a node that has no more runs.
    async fn retire(&self, node: &str) -> Result<()>;

    /// The accounts for which claims are stopped, by name.
    async fn accounts(&self) -> Result<Vec<AccountRow>>;

    /// Stops claims for an account. Where they are stopped already, since then: the later `until` and the greater
    /// `times` count, and a trial that another node has begun goes on.
    async fn block_account(&self, row: &AccountRow) -> Result<()>;

    /// Begins a trial: from now on only this node may claim for the account, and others may begin one when `until`
    /// has passed. Also extends a trial. `false`: the row's `until` is not the one that was seen, or there is no row.
    async fn begin_trial(&self, account: &str, seen: Timestamp, node: &str, until: Timestamp)
    -> Result<bool>;

    /// Ends this node's trial: claims are allowed again, or stopped anew as the row says. `false`: the trial is
    /// another's by now, or claims are allowed already.
    async fn end_trial(&self, account: &str, node: &str, stopped: Option<&AccountRow>) -> Result<bool>;

    /// How many bytes are free where the database is kept, if this process can tell. Default: it cannot.
    fn free_disk(&self) -> Option<u64> {
        None
    }

    /// Every registered node.
    async fn nodes(&self) -> Result<Vec<NodeRow>>;

    /// Declares these nodes dead, except those that have renewed their lease since. Answers with the
    /// jobs that are executing without a living node.
    async fn orphans(&self, dead: &[NodeRow]) -> Result<Vec<Job>>;

    /// Lets jobs that have waited, and been due, since `due_before` be claimed anywhere, although their sessions are
    /// elsewhere: those apart that are of a queue and a session host in `kept`. How many were released.
    async fn release_sessions(&self, due_before: Timestamp, kept: &[(String, String)]) -> Result<u64>;

    /// Jobs that a node is running and somebody wants cancelled.
    async fn cancel_requests(&self, node: &str) -> Result<Vec<JobId>>;

    /// Records a tick of a schedule and inserts its job, all or nothing. `None`: it is recorded already,
    /// by another node or an earlier look, and nothing was written. A unique job is no duplicate of one that another tick
    /// of the same entry has inserted: that one lets its key go.
    async fn tick(&self, tick: &Tick) -> Result<Option<TickRow>>;

    /// The newest recorded tick of an entry that is not later than now. A later one was recorded by a
    /// node whose clock was ahead.
    async fn last_tick(&self, entry: &str, now: Timestamp) -> Result<Option<TickRow>>;

    /// The recorded ticks of an entry, newest first.
    async fn ticks(&self, entry: &str, limit: u32) -> Result<Vec<TickRow>>;

    /// Removes ticks that were due before, save the newest of each entry and those whose jobs have a unique key. Answers
    /// with how many.
    async fn prune_ticks(&self, before: Timestamp) -> Result<u64>;

    /// Removes jobs in this final state that reached it before, the oldest first, with their ledger,
    /// errors and logs, all or nothing. Answers with how many. What somebody else is just removing is left to
    /// them, so that it may be fewer than there are; none: no others are left.
    async fn prune(&self, state: State, finished_before: Timestamp, limit: u32) -> Result<u64>;

    /// How many jobs [`prune`](Self::prune) would remove in the end.
    async fn prunable(&self, state: State, finished_before: Timestamp) -> Result<u64>;

    /// Calls `wake` whenever another connection may have made something claimable, or asked for a
    /// cancellation: with the name of the queue, or without one for all. May call it for nothing.
    /// Returns only when it cannot watch any more, with the reason; whoever calls again has missed what
    /// happened between.
    async fn watch(&self, wake: Wake<'_>) -> Error;

    /// The database's own clock, where it has one: then every node goes by it, so that all agree on what
    /// is due.
    async fn clock(&self) -> Result<Option<Timestamp>> {
        Ok(None)
    }
}

/// Told the name of the queue in which something may be claimable, or none for any.
pub type Wake<'a> = &'a (dyn Fn(Option<&str>) + Send + Sync);

/// What [`Engine::turn`] came to.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// What became of each settlement. Of the same run twice in a batch only the first is written.
    pub settled: Vec<Settled>,
    /// The jobs that were claimed.
    pub claimed: Claimed,
}

/// The error where a handler is to run again and there is nothing for it to run with.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn no_answer(job: &Job) -> Error {
    let rule = if job.state == State::Executing {
        "the handler of a running job cannot be run again"
    } else {
        "no answer of claude is stored for it: only workers with a handler store one"
    };
    Error::WrongState { id: job.id, state: job.state, rule }
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// It is written: it was still the job's own run, now or when the very same was settled before.
    Written,
    /// The job is another run's by now, or gone: nothing is written.
    Superseded,
    /// The job would wait again, but somebody has asked for its cancellation: nothing is written. The caller works out
    /// the end of a cancelled job and settles that.
    CancelRequested,
}

impl Settled {
    /// Whether it is written.
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Written)
    }
}

/// What a node asks of a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The node that will run them.
    pub node: &'a str,
    /// The workers the node knows; rows of others stay where they are, for a newer node.
    pub workers: &'a [&'a str],
    /// How many may run at once, and where.
    pub limits: Limits,
    /// How many the node runs already.
    pub running: u32,
    /// How many more it may claim than it has room for, because by then it will. Not where a limit
    /// other than the node's own applies.
    pub ahead: u32,
    /// The most jobs to claim, whatever else there is room for.
    pub at_most: u32,
    /// The account that pays for the node's runs. Nothing is claimed while it is [blocked](Engine::block_account),
    /// unless this node has [begun a trial](Engine::begin_trial).
    pub account: &'a str,
    /// Where the node keeps its sessions: a job that is to continue one is claimed where that is, unless nobody knows
    /// where, or it was [released](Engine::release_sessions).
    pub host: &'a str,
    /// The present moment.
    pub now: Timestamp,
}

/// What [`Engine::is_busy`] looks for. The fields are those of [`ClaimRequest`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BusyLook<'a> {
    /// The queues.
    pub queues: &'a [&'a str],
    /// The workers the node knows.
    pub workers: &'a [&'a str],
    /// Where the node keeps its sessions.
    pub host: &'a str,
    /// The present moment.
    pub now: Timestamp,
}

/// What every engine that keeps to the limits asks.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl ClaimRequest<'_> {
    /// For how many the node itself has room under these settings.
    pub(crate) fn room(&self, settings: &QueueSettings) -> u32 {
        if settings.paused {
            return 0;
        }
        settings.concurrency.unwrap_or(self.limits.concurrency).saturating_sub(self.running).min(self.at_most)
    }

    /// How many keyed jobs are looked at, in the order of claims, before all keys are: with as many keys, some are free
    /// mostly.
    pub(crate) fn keyed_ahead(most: u32) -> u32 {
        most.saturating_mul(2).saturating_add(100)
    }

    /// The most jobs that may be claimed where no other limit applies.
    pub(crate) fn most(&self, settings: &QueueSettings) -> u32 {
        let is_closed = settings.paused || settings.concurrency == Some(0);
        let ahead = if is_closed || self.limits.span_nodes() { 0 } else { self.ahead };
        self.room(settings).saturating_add(ahead).min(self.at_most)
    }
}

/// What a claim came to.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The jobs, in the order in which they shall start.
    pub jobs: Vec<Job>,
    /// When it is worth while to look again: the next waiting job is due, or the rate allows a start.
    pub next_due: Option<Timestamp>,
    /// The queue's settings, without a pause that is over.
    pub settings: QueueSettings,
    /// Where nothing is claimed for the node's account: when a node may try it again.
    pub blocked_until: Option<Timestamp>,
    /// Whether jobs with a concurrency key wait in the queue: while they do, none is claimed ahead.
    pub has_keyed: bool,
}

/// A queue's settings in the database, shared by all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueSettings {
    /// The queue's name.
    pub name: String,
    /// Nothing is claimed while it is paused.
    pub paused: bool,
    /// How many jobs each node may run at once, in place of what it is configured with.
    pub concurrency: Option<u32>,
}

/// A change of a queue's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChange {
    /// Claim nothing.
    Pause,
    /// Claim again, whatever paused it. Also lifts the block of every account whose nodes served the queue.
    Resume,
    /// Run at most this many per node; `None` goes back to each node's own configuration.
    Scale(Option<u32>),
}

/// Which jobs to list.
///
/// A list reads no more than it needs by state, by queue, and by both, however many jobs there are: a few
/// hundred rows, or where more than ten thousand of the jobs asked for wait (or are `completed`, in any
/// queue), as many of the newest as it takes to meet them. The conditions on worker and tag have no index of
/// their own: they are applied to what the others find, so a rare worker or tag may cost a look at all of
/// it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Filter {
    /// Only this state.
    pub state: Option<State>,
    /// Only this queue.
    pub queue: Option<String>,
    /// Only this worker.
    pub worker: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only below this number, to page on.
    pub before: Option<JobId>,
    /// The most rows. Default: 100.
    pub limit: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Self { state: None, queue: None, worker: None, tag: None, before: None, limit: 100 }
    }
}

/// What a cancellation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// The job was waiting and is now `cancelled`.
    Now,
    /// The job is running; the node that runs it will stop it.
    Requested,
}
