//! The embedded engine: one SQLite file in WAL mode.
//!
//! One connection writes (SQLite has one writer anyway; waiting in a queue of ours is fair, waiting
//! in SQLite's busy handler is not), a few read, one watches for other processes' commits. Commits
//! are synced (`synchronous = FULL`): what was inserted survives a power cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};
use uuid::Uuid;

use super::{
    Access, AccountRow, BusyLook, Cancelled, ClaimRequest, Claimed, Count, Engine, Filter, LedgerPage,
    NodeRow, QueueChange, QueueSettings, RunningRun, Tick, TickRow, Turn, Wake,
};
use crate::error::{Error, Result};
use crate::event::{Cursor, LogEntry, LogPosition, LogRow};
use crate::job::{AttemptError, Job, JobId, JobRow, RunRow, State, Written};
use crate::settlement::Settlement;

mod access;
mod accounts;
mod admin;
mod answers;
mod batch;
mod claim;
mod copies;
mod feed;
mod file;
mod insert;
#[cfg(feature = "cli")]
mod inspect;
mod limited;
mod list;
mod log;
mod nodes;
mod opening;
mod problem;
mod prune;
mod query;
mod row;
mod schema;
mod script;
mod settle;
mod ticks;

pub(crate) use access::access;
pub(crate) use insert::insert_on_users;
#[cfg(feature = "cli")]
pub(crate) use inspect::inspect;
pub(super) use problem::explained;

use file::File;
use insert::insert_in;
use problem::ReadOnly;

/// How long a write waits for another process's write before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often other processes' commits are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The SQLite engine.
#[derive(Debug)]
pub(crate) struct SqliteEngine {
    writer: SqlitePool,
    readers: SqlitePool,
    /// `data_version` only tells of change when asked on one connection.
    watcher: SqlitePool,
    database_id: Uuid,
    access: Access,
    /// A write has failed because the file could not be opened for writing: the writer opens it again.
    is_read_only: Arc<AtomicBool>,
    /// A turn is under way on the writer. Still so when the writer is returned, it was given up.
    is_torn: Arc<AtomicBool>,
    /// None in memory.
    file: Option<File>,
}

impl SqliteEngine {
    /// A transaction that holds the write lock from its start, so that what it reads stays true.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.written(self.writer.begin_with("BEGIN IMMEDIATE").await)
    }

    /// Passes the result of a write on, and takes note of a file that may not be written.
    fn written<T, E: Into<Error>>(&self, result: Result<T, E>) -> Result<T> {
        result.map_err(Into::into).inspect_err(|error| {
            if matches!(error, Error::Database(source) if source.is::<ReadOnly>()) {
                self.is_read_only.store(true, Ordering::Relaxed);
            }
        })
    }
}

/// A turn on a connection, in a transaction that begins and ends with the turn's own statements.
async fn turn_on(
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
    claim: Option<&ClaimRequest<'_>>,
) -> Result<Turn> {
    let (settled, found) = settle::settle(connection, settlements, claim).await?;
    let claimed = match claim.zip(found) {
        Some((request, found)) => claim::claim(connection, request, found).await?,
        None => {
            claim::commit(connection).await?;
            Claimed::default()
        }
    };
    Ok(Turn { settled, claimed })
}

#[async_trait]
impl Engine for SqliteEngine {
    fn database_id(&self) -> Uuid {
        self.database_id
    }

    fn access(&self) -> Access {
        self.access.clone()
    }

    /// There is one file.
    fn reads_what_all_read(&self) -> bool {
        true
    }

    async fn insert(&self, rows: &[JobRow]) -> Result<Vec<Written>> {
        if insert::is_one_statement(rows) {
            return self.written(insert_in(&mut *self.writer.acquire().await?, rows).await);
        }
        let mut transaction = self.begin().await?;
        let inserted = insert_in(&mut transaction, rows).await?;
        transaction.commit().await?;
        Ok(inserted)
    }

    async fn turn(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest<'_>>,
        _: Timestamp,
    ) -> Result<Turn> {
        if settlements.is_empty() {
            // Most polls find nothing: look before taking the write lock.
            let Some(request) = claim else { return Ok(Turn::default()) };
            if let Some(claimed) = claim::nothing(&self.readers, request).await? {
                return Ok(Turn { claimed, ..Turn::default() });
            }
        }
        let mut connection = self.written(self.writer.acquire().await)?;
        self.is_torn.store(true, Ordering::Relaxed);
        let turn = turn_on(&mut connection, settlements, claim).await;
        if turn.is_err() {
            // It may have failed before it began, or SQLite may have rolled back by itself.
            let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        }
        self.is_torn.store(false, Ordering::Relaxed);
        self.written(turn)
    }

    /// There is one writer.
    fn turns_overlap(&self) -> bool {
        false
    }

    async fn keep_answer(&self, job: JobId, attempt: u32, answer: &str) -> Result<bool> {
        self.written(answers::keep(&self.writer, job, attempt, answer).await)
    }

    async fn answer(&self, job: JobId) -> Result<Option<(u32, String)>> {
        answers::read(&self.readers, job).await
    }

    async fn mark_begun(&self, attempts: &[(JobId, u32)]) -> Result<()> {
        answers::mark_begun(self, attempts).await
    }

    async fn held(&self, node: &str, queue: &str) -> Result<Vec<Job>> {
        query::held(&self.readers, node, queue).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>> {
        query::job(&self.readers, id).await
    }

    async fn jobs(&self, filter: &Filter) -> Result<Vec<Job>> {
        list::jobs(&self.readers, filter).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        query::counts(&self.readers).await
    }

    async fn accounts(&self) -> Result<Vec<AccountRow>> {
        accounts::accounts(&self.readers).await
    }

    async fn block_account(&self, row: &AccountRow) -> Result<()> {
        accounts::block(self, row).await
    }

    async fn begin_trial(
        &self,
        account: &str,
        seen: Timestamp,
        node: &str,
        until: Timestamp,
    ) -> Result<bool> {
        accounts::begin_trial(self, account, seen, node, until).await
    }

    async fn end_trial(&self, account: &str, node: &str, stopped: Option<&AccountRow>) -> Result<bool> {
        accounts::end_trial(self, account, node, stopped).await
    }

    fn free_disk(&self) -> Option<u64> {
        self.file.as_ref()?.free_disk()
    }

    async fn is_busy(&self, look: &BusyLook<'_>) -> Result<bool> {
        query::is_busy(&self.readers, look).await
    }

    async fn errors(&self, id: JobId) -> Result<Vec<AttemptError>> {
        query::errors(&self.readers, id).await
    }

    async fn runs(&self, id: JobId) -> Result<Vec<RunRow>> {
        query::runs(&self.readers, id).await
    }

    async fn write_log(&self, rows: &[LogRow]) -> Result<()> {
        log::write(self, rows).await
    }

    async fn log(&self, after: &[LogPosition], limit: u32) -> Result<Vec<LogEntry>> {
        log::read(&self.readers, after, limit).await
    }

    async fn running(&self) -> Result<Vec<RunningRun>> {
        feed::running(&self.readers).await
    }

    async fn ledger_end(&self, since: Option<Timestamp>) -> Result<Cursor> {
        feed::end(self, since).await
    }

    async fn ledger(&self, after: &Cursor, limit: u32) -> Result<LedgerPage> {
        feed::ledger(self, after, limit).await
    }

    async fn cancel(&self, id: JobId, now: Timestamp) -> Result<Cancelled> {
        admin::cancel(self, id, now).await
    }

    async fn retry(&self, id: JobId, now: Timestamp) -> Result<Job> {
        admin::retry(self, id, now).await
    }

    async fn retry_handler(&self, id: JobId, now: Timestamp) -> Result<Job> {
        admin::retry_handler(self, id, now).await
    }

    async fn delete(&self, id: JobId) -> Result<()> {
        admin::delete(self, id).await
    }

    async fn queues(&self) -> Result<Vec<QueueSettings>> {
        query::queues(&self.readers).await
    }

    async fn change_queue(&self, name: &str, change: QueueChange) -> Result<QueueSettings> {
        admin::change_queue(self, name, change).await
    }

    async fn renew(&self, node: &NodeRow, registered: bool) -> Result<bool> {
        self.file.iter().try_for_each(File::check)?;
        nodes::renew(self, node, registered).await
    }

    async fn retire(&self, node: &str) -> Result<()> {
        nodes::retire(self, node).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>> {
        nodes::nodes(&self.readers).await
    }

    async fn orphans(&self, dead: &[NodeRow]) -> Result<Vec<Job>> {
        nodes::orphans(self, dead).await
    }

    async fn release_sessions(&self, due_before: Timestamp, kept: &[(String, String)]) -> Result<u64> {
        nodes::release_sessions(self, due_before, kept).await
    }

    async fn cancel_requests(&self, node: &str) -> Result<Vec<JobId>> {
        nodes::cancel_requests(&self.readers, node).await
    }

    /// SQLite tells nobody; but one number in shared memory changes with every commit of another
    /// connection, and reading it costs next to nothing.
    async fn watch(&self, wake: Wake<'_>) -> Error {
        let mut seen = None;
        loop {
            let counter: i64 = match sqlx::query_scalar("PRAGMA data_version").fetch_one(&self.watcher).await
            {
                Ok(counter) => counter,
                Err(error) => return error.into(),
            };
            // The first look wakes too: what was written before it would otherwise go unnoticed.
            if seen.replace(counter) != Some(counter) {
                wake(None);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn tick(&self, tick: &Tick) -> Result<Option<TickRow>> {
        ticks::tick(self, tick).await
    }

    async fn last_tick(&self, entry: &str, now: Timestamp) -> Result<Option<TickRow>> {
        ticks::last_tick(&self.readers, entry, now).await
    }

    async fn ticks(&self, entry: &str, limit: u32) -> Result<Vec<TickRow>> {
        ticks::ticks(&self.readers, entry, limit).await
    }

    async fn prune_ticks(&self, before: Timestamp) -> Result<u64> {
        ticks::prune_ticks(self, before).await
    }

    async fn prune(&self, state: State, finished_before: Timestamp, limit: u32) -> Result<u64> {
        prune::prune(self, state, finished_before, limit).await
    }

    async fn prunable(&self, state: State, finished_before: Timestamp) -> Result<u64> {
        prune::prunable(&self.readers, state, finished_before).await
    }
}

#[cfg(test)]
mod plans;
#[cfg(test)]
mod tests;
