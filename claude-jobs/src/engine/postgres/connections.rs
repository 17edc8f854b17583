//! Our connections: a few, the most recently used one first.
//!
//! Not sqlx's pool: that asks the server whether the connection lives each time one is returned, and
//! hands them out in turn, so that every one of them prepares every statement. Here a connection comes
//! back only from work that went well; one that failed, or whose work was given up in the middle, is
//! closed, and with it goes whatever the work held.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{Connection, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::statements::Statement;
use super::{Query, address::Address, explain::code};
use crate::error::{Error, Result};

/// How long the server may take to let us in, and how long one waits for a free connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// How long one statement may take before its connection is given up: the network may have eaten the
/// answer. The server gives it up before.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A connection that was idle for so long is asked whether it lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// A connection that was idle for so long is closed.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// A connection that was opened so long ago is closed instead of used again: an address may lead to another server by now
/// without the old one having said a word, and the sessions of a server grow with their age. As long as other pools keep
/// theirs (sqlx, HikariCP); to open one takes milliseconds.
pub(super) const LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The plans of a queue must not depend on when its table was last analysed: made while it is nearly
/// empty, kept while it grows, a plan that reads the whole table would be kept too. Everything that is
/// asked often has its index, in its order, and nothing else is to be considered. To plan a turn anew each
/// time would take longer than to carry it out.
const SESSION: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET enable_sort = off; SET enable_material = off; SET jit = off; \
    SET plan_cache_mode = force_generic_plan; \
    SET default_transaction_isolation = 'read committed'";

/// What the server does when it hears nothing more of us: a process that is frozen, or a machine that has lost its
/// power, may hold locks that every node waits for. The last one not every system can do.
const IF_WE_VANISH: &str = "SET idle_in_transaction_session_timeout = '30s'; SET statement_timeout = '110s'; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3; \
    DO $$ BEGIN SET client_connection_check_interval = '10s'; EXCEPTION WHEN OTHERS THEN NULL; END $$";

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The same for one transaction, where a pooler may change the server after it.
const BEGIN_WITHOUT_SESSION: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL idle_in_transaction_session_timeout = '30s'; SET LOCAL statement_timeout = '110s'";

/// Where connections come from.
pub(super) struct Connections {
    options: PgConnectOptions,
    /// Whether each connection has a session of its own.
    has_session: bool,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Idle>>>,
    lifetime: Duration,
}

struct Opened {
    connection: PgConnection,
    /// When it is too old to be used again.
    ends: Instant,
}

struct Idle {
    opened: Opened,
    since: Instant,
}

impl Connections {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            options: address.options.clone(),
            has_session: address.notifications,
            permits: Arc::new(Semaphore::new(address.connections as usize)),
            idle: Arc::default(),
            lifetime: LIFETIME,
        }
    }

    /// Waits for a connection.
    pub(super) async fn lend(&self) -> Result<Lent> {
        let permit = timeout(CONNECT_WITHIN, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let seconds = CONNECT_WITHIN.as_secs();
            let remedy = "give more with `connections=` in the URL";
            return Err(Error::Database(format!("no connection was free for {seconds} s: {remedy}").into()));
        };
        let opened = match self.living().await {
            Some(opened) => opened,
            None => Opened { connection: self.open().await?, ends: Instant::now() + self.lifetime },
        };
        Ok(Lent { opened: Some(opened), home: Arc::clone(&self.idle), _permit: permit })
    }

    /// An idle connection that lives.
    async fn living(&self) -> Option<Opened> {
        loop {
            let Idle { mut opened, since } = lock(&self.idle).pop()?;
            if Instant::now() >= opened.ends {
                continue;
            }
            if since.elapsed() < TRUSTED_FOR {
                return Some(opened);
            }
            if let Ok(Ok(())) = timeout(Duration::from_secs(5), opened.connection.ping()).await {
                return Some(opened);
            }
            // The others have been idle for longer still.
            lock(&self.idle).clear();
        }
    }

    pub(super) async fn open(&self) -> Result<PgConnection> {
        let opened = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            if self.has_session {
                connection.execute(SESSION).await?;
                connection.execute(IF_WE_VANISH).await?;
            }
            Ok::<_, sqlx::Error>(connection)
        };
        match timeout(CONNECT_WITHIN, opened).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Error::Database("the server does not let us in".into())),
        }
    }

    /// Runs one statement, in a transaction of its own.
    pub(super) async fn rows(&self, query: Query<'_>) -> Result<Vec<PgRow>> {
        if !self.has_session {
            // Between two transactions a pooler may change the server, which would not know the
            // statement; within one it may not.
            let mut work = self.begin().await?;
            let rows = work.rows(query).await;
            return work.finish(rows).await;
        }
        let mut lent = self.lend().await?;
        let rows = rows(&mut lent, query).await;
        match &rows {
            Err(error) if steps_down(error) => lent.leave_server(),
            Err(error) if !crate::engine::was_refused(error) => {}
            _ => lent.give_back(),
        }
        rows
    }

    /// Begins a transaction in which each statement sees what was committed before it.
    pub(super) async fn begin(&self) -> Result<Work> {
        let mut lent = self.lend().await?;
        control(&mut lent, if self.has_session { BEGIN } else { BEGIN_WITHOUT_SESSION }).await?;
        Ok(Work { lent })
    }
}

impl fmt::Debug for Connections {
    /// Without the options: they hold the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connections").field("idle", &lock(&self.idle).len()).finish_non_exhaustive()
    }
}

fn lock(idle: &Mutex<Vec<Idle>>) -> std::sync::MutexGuard<'_, Vec<Idle>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) async fn rows(connection: &mut PgConnection, query: Query<'_>) -> Result<Vec<PgRow>> {
    match timeout(ANSWER_WITHIN, query.fetch_all(connection)).await {
        Ok(rows) => Ok(rows?),
        Err(_) => Err(no_answer()),
    }
}

async fn control(connection: &mut PgConnection, sql: &'static str) -> Result<()> {
    match timeout(ANSWER_WITHIN, connection.execute(sql)).await {
        Ok(done) => Ok(done.map(drop)?),
        Err(_) => Err(no_answer()),
    }
}

/// Whether the server that says so is not, or will soon not be, the one that writes: it is a standby or reads only
/// (25006), or it shuts down, has crashed or is starting (57P01 to 57P03).
fn steps_down(error: &Error) -> bool {
    matches!(code(error).as_deref(), Some("25006" | "57P01" | "57P02" | "57P03"))
}

fn no_answer() -> Error {
    Error::Database(format!("the server did not answer within {} s", ANSWER_WITHIN.as_secs()).into())
}

/// A connection in use. Dropped, it is closed.
pub(super) struct Lent {
    /// Taken out only by `give_back`, which ends this.
    opened: Option<Opened>,
    home: Arc<Mutex<Vec<Idle>>>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// Returns it for others to use.
    pub(super) fn give_back(mut self) {
        let Some(opened) = self.opened.take() else { return };
        let now = Instant::now();
        let mut idle = lock(&self.home);
        idle.push(Idle { opened, since: now });
        idle.retain(|idle| now.duration_since(idle.since) < KEPT_FOR && now < idle.opened.ends);
    }

    /// Closes it, and the idle ones, which lead to the same server: the next one is opened to the server that the address
    /// leads to by then.
    fn leave_server(self) {
        lock(&self.home).clear();
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.opened.as_ref().expect("taken out by nothing that leaves it in use").connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.opened.as_mut().expect("taken out by nothing that leaves it in use").connection
    }
}

/// A transaction. Dropped, it is rolled back by closing its connection.
pub(super) struct Work {
    lent: Lent,
}

impl Work {
    /// Runs one statement.
    pub(super) async fn rows(&mut self, query: Query<'_>) -> Result<Vec<PgRow>> {
        rows(&mut self.lent, query).await
    }

    /// Runs statements that take no parameters and may be many.
    pub(super) async fn script(&mut self, sql: &Statement) -> Result<()> {
        sqlx::raw_sql(sql.text()).execute(&mut *self.lent).await?;
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.lent
    }

    /// Commits what went well, rolls back what did not.
    pub(super) async fn finish<T>(mut self, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => control(&mut self.lent, "COMMIT").await?,
            Err(error) if steps_down(error) => {
                // Its end rolls it back.
                self.lent.leave_server();
                return result;
            }
            Err(_) => {
                if control(&mut self.lent, "ROLLBACK").await.is_err() {
                    // Its end rolls it back, too.
                    return result;
                }
            }
        }
        self.lent.give_back();
        result
    }
}

#[cfg(test)]
mod tests {
    use claude_jobs_tests::postgres::database;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_used_again_until_it_is_old() {
        let database = database();
        let address = Address::parse(&database.url()).expect("a good URL");
        let mut connections = Connections::new(&address);
        let session = async |connections: &Connections| -> i32 {
            let rows = connections.rows(sqlx::query("SELECT pg_backend_pid()")).await.expect("it answers");
            sqlx::Row::get(&rows[0], 0)
        };
        assert_eq!(session(&connections).await, session(&connections).await);
        connections.lifetime = Duration::ZERO;
        lock(&connections.idle).clear();
        assert_ne!(session(&connections).await, session(&connections).await);
    }
}
