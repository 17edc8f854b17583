//! Inserts, in the engine's own transaction or the user's.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};
use uuid::Uuid;

use super::batch::{FEW, Statement};
use super::problem::Locked;
use super::row::{self, job_columns, state_bit};
use crate::error::{Error, Result};
use crate::job::{Job, JobId, JobRow, UniqueRow, Written};

/// claude_jobs_unique
pub(super) const RELEASE_EXPIRED: &str =
    "UPDATE claude_jobs SET unique_key = NULL WHERE unique_key = ? AND unique_until <= ?";

/// Writes jobs on a connection of the user's, if it is to the database of that id.
pub(crate) async fn insert_on_users(
    connection: &mut SqliteConnection,
    id: Uuid,
    rows: &[JobRow],
) -> Result<Vec<Written>> {
    let write = async {
        check_database(connection, id).await?;
        insert_in(connection, rows).await
    };
    write.await.map_err(|error| match error {
        Error::Database(source) if matches!(source.downcast_ref(), Some(Locked::Waited)) => {
            Error::Database(Box::new(Locked::Users))
        }
        other => other,
    })
}

/// Changes nothing, and takes the lock for writing: to read first would take a snapshot, after which SQLite does not wait
/// for the lock, and refuses it once another connection has written.
const LOCK: &str = "DELETE FROM claude_jobs_meta WHERE key IS NULL";

/// Whether a connection of the user's is to the database of that id.
async fn check_database(connection: &mut SqliteConnection, id: Uuid) -> Result<()> {
    let sql = "SELECT value FROM claude_jobs_meta WHERE key = 'database_id'";
    let found = match sqlx::query(LOCK).execute(&mut *connection).await {
        Ok(_) => sqlx::query_scalar::<_, String>(sql).fetch_optional(connection).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(Some(found)) if found == id.to_string() => Ok(()),
        Err(sqlx::Error::Database(error)) if error.message().starts_with("no such table") => {
            Err(Error::OtherDatabase)
        }
        Ok(_) => Err(Error::OtherDatabase),
        Err(error) => Err(error.into()),
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// The columns of a new job. First those that differ in most batches.
macro_rules! new_columns {
    () => {
        "claude_jobs (input, args, state, queue, worker, meta, tags, priority, max_attempts, max_snoozes, \
         inserted_at, scheduled_at, concurrency_key, trace, unique_key, unique_until, unique_states)"
    };
}

static INSERT: Statement = Statement::new(
    concat!("INSERT INTO ", new_columns!(), " VALUES"),
    17,
    "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING",
);

// No numbered placeholders here: sqlx counts those without a number from one again.
static INSERT_ALIKE: Statement = Statement::new(
    concat!(
        "INSERT INTO ",
        new_columns!(),
        " SELECT column1, column2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM (VALUES"
    ),
    2,
    ")",
);

/// Writes jobs on a connection. All or none only inside a transaction.
pub(super) async fn insert_in(connection: &mut SqliteConnection, rows: &[JobRow]) -> Result<Vec<Written>> {
    let mut written = Vec::with_capacity(rows.len());
    // Rows that nothing can stand in the way of are written many at a time.
    for part in rows.chunk_by(|one, next| one.unique.is_none() && next.unique.is_none()) {
        match &part[0].unique {
            Some(unique) => written.push(write_unique(connection, &part[0], unique).await?),
            None => write_plain(connection, part, &mut written).await?,
        }
    }
    Ok(written)
}

/// Whether the rows can be written by one statement, which is a transaction by itself.
pub(super) fn is_one_statement(rows: &[JobRow]) -> bool {
    rows.len() <= FEW && rows.iter().all(|row| row.unique.is_none())
}

/// A key whose time is over no longer stands in the way.
async fn release_expired(connection: &mut SqliteConnection, unique: &UniqueRow, row: &JobRow) -> Result<()> {
    sqlx::query(RELEASE_EXPIRED)
        .bind(&unique.key)
        .bind(row.inserted_at.as_microsecond())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_unique(
    connection: &mut SqliteConnection,
    row: &JobRow,
    unique: &UniqueRow,
) -> Result<Written> {
    release_expired(connection, unique, row).await?;
    let query = others(own(sqlx::query(INSERT.for_one()), row)?, row)?;
    let done = query.execute(&mut *connection).await?;
    if done.rows_affected() == 0 {
        return Ok(Written::Duplicate(Box::new(holder(connection, unique).await?)));
    }
    Ok(Written::New(JobId(done.last_insert_rowid())))
}

/// Writes rows of which nothing can stand in the way.
async fn write_plain(
    connection: &mut SqliteConnection,
    rows: &[JobRow],
    written: &mut Vec<Written>,
) -> Result<()> {
    // Mostly the rows of a batch have little to themselves: all else goes to SQLite once.
    let are_alike = rows.len() > 1 && rows.windows(2).all(|pair| are_alike(&pair[0], &pair[1]));
    let (statement, bind) = if are_alike { (&INSERT_ALIKE, alike as Bind) } else { (&INSERT, each as Bind) };
    let mut parts = statement.parts(rows);
    let mut ready = || {
        let bound = |(sql, part): (_, &[JobRow])| Ok((bind(sqlx::query(sql), part)?, part.len() as i64));
        parts.next().map(bound).transpose()
    };
    let mut next = ready()?;
    while let Some((query, count)) = next {
        // While SQLite's thread writes a part we make the next one ready.
        let writing = query.execute(&mut *connection);
        let (done, prepared): (_, Result<_>) = tokio::join!(biased; writing, async { ready() });
        // The write lock is ours, so AUTOINCREMENT counts up without a gap.
        let last = done?.last_insert_rowid();
        written.extend((last + 1 - count..=last).map(|id| Written::New(JobId(id))));
        next = prepared?;
    }
    Ok(())
}

/// Gives a statement its values.
type Bind = for<'q> fn(Query<'q>, &[JobRow]) -> Result<Query<'q>>;

/// All columns of each row.
fn each<'q>(mut query: Query<'q>, rows: &[JobRow]) -> Result<Query<'q>> {
    for row in rows {
        query = others(own(query, row)?, row)?;
    }
    Ok(query)
}

/// What the rows have in common, then what each has to itself.
fn alike<'q>(query: Query<'q>, rows: &[JobRow]) -> Result<Query<'q>> {
    rows.iter().try_fold(others(query, &rows[0])?, own)
}

/// Whether two rows differ in nothing but their [`own`] columns.
fn are_alike(one: &JobRow, other: &JobRow) -> bool {
    let times = |row: &JobRow| (row.state, row.inserted_at, row.scheduled_at);
    let numbers = |row: &JobRow| (row.priority, row.max_attempts, row.max_snoozes);
    times(one) == times(other)
        && one.trace == other.trace
        && numbers(one) == numbers(other)
        && (&one.queue, &one.worker, &one.tags) == (&other.queue, &other.worker, &other.tags)
        && (&one.meta, &one.concurrency_key) == (&other.meta, &other.concurrency_key)
        && one.unique.is_none()
        && other.unique.is_none()
}

fn own<'q>(query: Query<'q>, new: &JobRow) -> Result<Query<'q>> {
    Ok(query.bind(json(&new.input)?).bind(json(&new.args)?))
}

fn others<'q>(query: Query<'q>, new: &JobRow) -> Result<Query<'q>> {
    let unique = new.unique.as_ref();
    let states = unique.map_or(0, |unique| unique.states.iter().map(|state| state_bit(*state)).sum());
    Ok(query
        .bind(new.state.name())
        .bind(new.queue.clone())
        .bind(new.worker.clone())
        .bind(json(&new.meta)?)
        .bind(json(&new.tags)?)
        .bind(new.priority)
        .bind(new.max_attempts)
        .bind(new.max_snoozes)
        .bind(new.inserted_at.as_microsecond())
        .bind(new.scheduled_at.as_microsecond())
        .bind(new.concurrency_key.clone())
        .bind(new.trace.clone())
        .bind(unique.map(|unique| unique.key.clone()))
        .bind(unique.and_then(|unique| unique.until).map(|until| until.as_microsecond()))
        .bind::<i32>(states))
}

/// The job that holds the key. It is there: we are inside the transaction in which it stood in the
/// way.
async fn holder(connection: &mut SqliteConnection, unique: &UniqueRow) -> Result<Job> {
    let row = sqlx::query(concat!("SELECT ", job_columns!(), " FROM claude_jobs WHERE unique_key = ?"))
        .bind(&unique.key)
        .fetch_one(connection)
        .await?;
    Ok(row::job(&row)?)
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| crate::Error::Database(Box::new(error)))
}
