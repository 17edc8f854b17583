//! Opens a database file, or one in memory.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use uuid::Uuid;

use super::file::{self, File, Origin, check_path};
use super::problem::ReadOnly;
use super::{BUSY_TIMEOUT, SqliteEngine, access, copies, schema};
use crate::engine::Purpose;
use crate::error::{Error, Result, in_its_words};
use crate::secrets::hide_passwords;

impl SqliteEngine {
    /// To use it.
    #[cfg(test)]
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        Self::open(url, Purpose::Use).await
    }

    /// Opens the database, makes it if it is not there, and brings its tables up to date.
    pub(crate) async fn open(url: &str, purpose: Purpose) -> Result<Self> {
        let refused = |reason: String| Error::Connect { url: hide_passwords(url), reason };
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| refused(format!("{error}; write it as `sqlite://path/to/jobs.db`")))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .optimize_on_close(false, None)
            // Batches of each size have their own.
            .statement_cache_capacity(256)
            // The tables' checks are for rows that somebody writes by hand. What we write holds by
            // construction; to check it takes a quarter of the time of a bulk insert.
            .pragma("ignore_check_constraints", "ON");
        let path = options.get_filename().to_owned();
        let in_memory = is_in_memory(url);
        if !in_memory {
            check_path(&path).and_then(|()| file::create(&path)).map_err(refused)?;
        }
        let is_read_only = Arc::new(AtomicBool::new(false));
        let is_torn = Arc::new(AtomicBool::new(false));
        let pool = |most: u32, is_read_only: Arc<AtomicBool>, is_torn: Arc<AtomicBool>| {
            SqlitePoolOptions::new()
                // It is a file, not a server that might be gone.
                .test_before_acquire(false)
                .max_connections(most)
                .min_connections(1)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(BUSY_TIMEOUT)
                .before_acquire(move |connection, _| {
                    // SQLite has ended this one's transaction by itself (disk full), which sqlx does
                    // not notice: no other could ever begin on it. An in-memory database is its one
                    // connection.
                    let is_usable = !connection.is_in_transaction();
                    // SQLite opens a file that it may not write for reading, and never again for both.
                    let is_writable = !is_read_only.swap(false, Ordering::Relaxed);
                    let is_usable = in_memory || (is_usable && is_writable);
                    Box::pin(async move { Ok(is_usable) })
                })
                .after_release(move |connection, _| {
                    let is_torn = is_torn.swap(false, Ordering::Relaxed);
                    Box::pin(async move {
                        if is_torn {
                            // There is nothing to roll back if it was given up before it began.
                            let _ = sqlx::query("ROLLBACK").execute(connection).await;
                        }
                        Ok(true)
                    })
                })
                .connect_with(options.clone())
        };
        let explain = |error: sqlx::Error| refused(connect_problem(&path, &error));
        let writer = pool(1, Arc::clone(&is_read_only), Arc::clone(&is_torn)).await.map_err(explain)?;
        let file = if in_memory { None } else { File::at(&path) };
        let origin = file.as_ref().filter(|_| purpose == Purpose::Use).and_then(File::origin);
        let database_id = identify(&writer, origin).await.map_err(|error| match error {
            Error::Database(source) => {
                refused(format!("{}: {}", path.display(), in_its_words(source.as_ref())))
            }
            other => other,
        })?;
        // An in-memory database exists on its one connection only.
        let (readers, watcher) = if in_memory {
            (writer.clone(), writer.clone())
        } else {
            let pool = |most| pool(most, Arc::default(), Arc::default());
            (pool(4).await.map_err(explain)?, pool(1).await.map_err(explain)?)
        };
        let access = access(url);
        Ok(Self { writer, readers, watcher, database_id, access, is_read_only, is_torn, file })
    }
}

/// The database's id, once its tables are up to date and it is known whether it is a copy.
async fn identify(writer: &SqlitePool, origin: Option<Origin>) -> Result<Uuid> {
    let id = schema::migrate(writer).await?;
    let Some(origin) = origin else { return Ok(id) };
    match copies::note_origin(writer, &origin).await {
        Ok(()) => schema::migrate(writer).await,
        // It can be read all the same.
        Err(Error::Database(source)) if source.is::<ReadOnly>() => Ok(id),
        Err(error) => Err(error),
    }
}

pub(super) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

pub(super) fn connect_problem(path: &Path, error: &sqlx::Error) -> String {
    let error = in_its_words(error);
    let remedy = match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Err(problem) => format!("the file cannot be opened for reading and writing ({problem})"),
        Ok(_) => "is it a SQLite database, and its folder writable?".to_owned(),
    };
    format!("{error}; {remedy}")
}
