//! The engine of many machines: a schema of our own in a PostgreSQL database.
//!
//! Whatever happens a thousand times a second is one statement, which is a transaction by itself: it
//! completes a batch of jobs and claims the next ones, or inserts a batch and tells the other nodes. All
//! else runs in transactions at READ COMMITTED, where each statement sees what was committed before it.
//! Every statement names the schema, so that nobody's `search_path` matters.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{ConnectOptions, Postgres};
use uuid::Uuid;

use super::{
    Access, AccountRow, BusyLook, Cancelled, ClaimRequest, Count, Engine, Filter, LedgerPage, NodeRow,
    Purpose, QueueChange, QueueSettings, RunningRun, Tick, TickRow, Turn, Wake,
};
use crate::error::{Error, Result};
use crate::event::{Cursor, LogEntry, LogPosition, LogRow};
use crate::job::{AttemptError, Job, JobId, JobRow, RunRow, State, Written};
use crate::settlement::Settlement;

mod accounts;
mod address;
mod admin;
mod answer;
mod answers;
mod claim;
mod clock;
mod connections;
mod copies;
mod explain;
mod feed;
mod insert;
#[cfg(feature = "cli")]
mod inspect;
mod limited;
mod list;
mod listen;
mod log;
mod moment;
mod nodes;
mod problem;
mod prune;
mod query;
mod row;
mod schema;
mod settle;
mod statements;
mod ticks;
mod turn;

use address::{Address, Schema, unknown_parameters};
use connections::Connections;
use explain::explain;
pub(crate) use insert::insert_in;
#[cfg(feature = "cli")]
pub(crate) use inspect::{check_use, inspect, shown};
pub(super) use problem::{explained, given};
use statements::{Statement, Statements};

/// A statement with its parameters.
type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// The PostgreSQL engine.
pub(crate) struct PostgresEngine {
    address: Address,
    connections: Connections,
    sql: Statements,
    database_id: Uuid,
    access: Access,
}

/// The database's id, once its tables are up to date and it is known whether it is a copy.
async fn identify(connections: &Connections, schema: &Schema, purpose: Purpose) -> Result<Uuid> {
    let id = schema::migrate(connections, schema).await?;
    if purpose == Purpose::Look {
        return Ok(id);
    }
    match copies::note_origin(connections, schema).await {
        Ok(()) => schema::migrate(connections, schema).await,
        // Who may not write that may still insert jobs.
        Err(error) if explain::is_denied(&error) => Ok(id),
        Err(error) => Err(error),
    }
}

/// What opens the database of that URL: the URL, and the password, wherever that is from.
pub(crate) fn access(url: &str) -> Access {
    let options = Address::parse(url).ok().map(|address| address.options.to_url_lossy());
    Access::of([url.to_owned()], options.as_ref().and_then(|url| url.password()))
}

impl PostgresEngine {
    /// To use it.
    #[cfg(test)]
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        Self::open(url, Purpose::Use).await
    }

    /// Connects, and brings the tables up to date.
    pub(crate) async fn open(url: &str, purpose: Purpose) -> Result<Self> {
        let address = Address::parse(url)?;
        for parameter in unknown_parameters(url) {
            tracing::warn!(parameter, "a parameter of the database's URL is not known, and is ignored");
        }
        let connections = Connections::new(&address);
        let sql = Statements::of(&address.schema);
        let database_id = identify(&connections, &address.schema, purpose)
            .await
            .map_err(|error| explain(&address, error))?;
        Ok(Self { address, connections, sql, database_id, access: access(url) })
    }

    /// A statement, prepared once per connection; anew each time where a pooler may change the server.
    fn query<'q>(&self, statement: &Statement) -> Query<'q> {
        sqlx::query(statement.text()).persistent(self.address.notifications)
    }

    /// Runs one statement, in a transaction of its own.
    async fn rows(&self, query: Query<'_>) -> Result<Vec<PgRow>> {
        self.connections.rows(query).await
    }

    /// Runs one statement that answers with a row.
    async fn row(&self, query: Query<'_>) -> Result<PgRow> {
        self.rows(query).await?.into_iter().next().ok_or_else(no_row)
    }

    /// Where notifications go.
    fn channel(&self) -> &str {
        self.address.schema.name()
    }
}

fn first(rows: &[PgRow]) -> Result<&PgRow> {
    rows.first().ok_or_else(no_row)
}

fn no_row() -> Error {
    Error::Database("the database answered with no row".into())
}

/// How often an operation is tried when PostgreSQL ends it to let another one through.
const TRIES: u32 = 10;

/// Tries again when the transaction was ended to let another one through (a deadlock, a conflict):
/// nothing of it was written.
async fn retried<T, F: Future<Output = Result<T>>>(operation: impl Fn() -> F) -> Result<T> {
    for tried in 1.. {
        match operation().await {
            Err(error) if tried < TRIES && has_given_way(&error) => {
                tokio::time::sleep(Duration::from_millis(u64::from(tried) * 5)).await;
            }
            result => return result,
        }
    }
    unreachable!("the last try answers")
}

/// serialization_failure, deadlock_detected
fn has_given_way(error: &Error) -> bool {
    explain::code(error).is_some_and(|code| code == "40001" || code == "40P01")
}

impl fmt::Debug for PostgresEngine {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresEngine").field("url", &self.address.shown).finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for PostgresEngine {
    fn database_id(&self) -> Uuid {
        self.database_id
    }

    fn access(&self) -> Access {
        self.access.clone()
    }

    fn schema(&self) -> Option<&str> {
        Some(self.address.schema.name())
    }

    async fn insert(&self, rows: &[JobRow]) -> Result<Vec<Written>> {
        insert::insert(self, rows).await
    }

    async fn turn(
        &self,
        settlements: &[Settlement],
        claim: Option<&ClaimRequest<'_>>,
        _: Timestamp,
    ) -> Result<Turn> {
        match turn::turn(self, settlements, claim).await {
            // A ledger row is there already: somebody has turned an attempt back by hand. That must not
            // keep the job from ever being settled.
            Err(error) if explain::code(&error).is_some_and(|code| code == "23505") => {
                settle::forget(self, settlements).await?;
                turn::turn(self, settlements, claim).await
            }
            turn => turn,
        }
    }

    async fn keep_answer(&self, job: JobId, attempt: u32, answer: &str) -> Result<bool> {
        retried(|| answers::keep(self, job, attempt, answer)).await
    }

    async fn answer(&self, job: JobId) -> Result<Option<(u32, String)>> {
        answers::read(self, job).await
    }

    async fn mark_begun(&self, attempts: &[(JobId, u32)]) -> Result<()> {
        retried(|| answers::mark_begun(self, attempts)).await
    }

    async fn held(&self, node: &str, queue: &str) -> Result<Vec<Job>> {
        nodes::held(self, node, queue).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>> {
        query::job(self, id).await
    }

    async fn jobs(&self, filter: &Filter) -> Result<Vec<Job>> {
        list::jobs(self, filter).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        query::counts(self).await
    }

    async fn accounts(&self) -> Result<Vec<AccountRow>> {
        accounts::accounts(self).await
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

    async fn is_busy(&self, look: &BusyLook<'_>) -> Result<bool> {
        query::is_busy(self, look).await
    }

    async fn errors(&self, id: JobId) -> Result<Vec<AttemptError>> {
        query::errors(self, id).await
    }

    async fn runs(&self, id: JobId) -> Result<Vec<RunRow>> {
        query::runs(self, id).await
    }

    async fn write_log(&self, rows: &[LogRow]) -> Result<()> {
        log::write(self, rows).await
    }

    async fn log(&self, after: &[LogPosition], limit: u32) -> Result<Vec<LogEntry>> {
        log::read(self, after, limit).await
    }

    async fn running(&self) -> Result<Vec<RunningRun>> {
        feed::running(self).await
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
        query::queues(self).await
    }

    async fn change_queue(&self, name: &str, change: QueueChange) -> Result<QueueSettings> {
        admin::change_queue(self, name, change).await
    }

    async fn renew(&self, node: &NodeRow, registered: bool) -> Result<bool> {
        nodes::renew(self, node, registered).await
    }

    async fn retire(&self, node: &str) -> Result<()> {
        nodes::retire(self, node).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>> {
        nodes::nodes(self).await
    }

    async fn orphans(&self, dead: &[NodeRow]) -> Result<Vec<Job>> {
        retried(|| nodes::orphans(self, dead)).await
    }

    async fn release_sessions(&self, due_before: Timestamp, kept: &[(String, String)]) -> Result<u64> {
        retried(|| nodes::release_sessions(self, due_before, kept)).await
    }

    async fn cancel_requests(&self, node: &str) -> Result<Vec<JobId>> {
        nodes::cancel_requests(self, node).await
    }

    async fn watch(&self, wake: Wake<'_>) -> Error {
        listen::watch(self, wake).await
    }

    async fn clock(&self) -> Result<Option<Timestamp>> {
        Ok(Some(clock::now(self).await?))
    }

    async fn tick(&self, tick: &Tick) -> Result<Option<TickRow>> {
        retried(|| ticks::tick(self, tick)).await
    }

    async fn last_tick(&self, entry: &str, now: Timestamp) -> Result<Option<TickRow>> {
        ticks::last_tick(self, entry, now).await
    }

    async fn ticks(&self, entry: &str, limit: u32) -> Result<Vec<TickRow>> {
        ticks::ticks(self, entry, limit).await
    }

    async fn prune_ticks(&self, before: Timestamp) -> Result<u64> {
        ticks::prune_ticks(self, before).await
    }

    async fn prune(&self, state: State, finished_before: Timestamp, limit: u32) -> Result<u64> {
        retried(|| prune::prune(self, state, finished_before, limit)).await
    }

    async fn prunable(&self, state: State, finished_before: Timestamp) -> Result<u64> {
        prune::prunable(self, state, finished_before).await
    }
}

#[cfg(test)]
mod plans;
