//! Inserts, in the engine's own transaction or the user's.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::batch::Statement;
use super::row::{self, job_columns, state_bit};
use crate::error::{Error, Result};
use crate::job::{Inserted, Job, JobRow, UniqueRow};

/// claude_jobs_unique
pub(super) const RELEASE_EXPIRED: &str =
    "UPDATE claude_jobs SET unique_key = NULL WHERE unique_key = ? AND unique_until <= ?";

/// Whether a connection of the user's is to the database of that id.
pub(crate) async fn check_database(connection: &mut SqliteConnection, id: Uuid) -> Result<()> {
    let sql = "SELECT value FROM claude_jobs_meta WHERE key = 'database_id'";
    match sqlx::query_scalar::<_, String>(sql).fetch_optional(connection).await {
        Ok(Some(found)) if found == id.to_string() => Ok(()),
        Err(sqlx::Error::Database(error)) if error.message().starts_with("no such table") => {
            Err(Error::OtherDatabase)
        }
        Ok(_) => Err(Error::OtherDatabase),
        Err(error) => Err(error.into()),
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// The columns of a new job, the input first.
macro_rules! new_columns {
    () => {
        "claude_jobs (input, state, queue, worker, args, meta, tags, priority, max_attempts, max_snoozes, \
         inserted_at, scheduled_at, concurrency_key, unique_key, unique_until, unique_states)"
    };
}

static INSERT: Statement = Statement::new(
    concat!("INSERT INTO ", new_columns!(), " VALUES"),
    16,
    "ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING RETURNING id",
);

// No numbered placeholders here: sqlx counts those without a number from one again.
static INSERT_ALIKE: Statement = Statement::new(
    concat!(
        "INSERT INTO ",
        new_columns!(),
        " SELECT column1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM (VALUES"
    ),
    1,
    ")",
);

/// Writes jobs on a connection. All or none only inside a transaction.
pub(crate) async fn insert_in(connection: &mut SqliteConnection, rows: &[JobRow]) -> Result<Vec<Inserted>> {
    let mut inserted = Vec::with_capacity(rows.len());
    // Rows that nothing can stand in the way of are written many at a time.
    for part in rows.chunk_by(|one, next| one.unique.is_none() && next.unique.is_none()) {
        let unique = part[0].unique.as_ref();
        if let Some(unique) = unique {
            release_expired(connection, unique, &part[0]).await?;
        }
        let ids = write(connection, part).await?;
        if ids.is_empty() && unique.is_some() {
            inserted.push(Inserted { job: holder(connection, &part[0]).await?, duplicate: true });
        }
        let new = part.iter().zip(ids);
        inserted.extend(new.map(|(row, id)| Inserted { job: row.stored_as(id), duplicate: false }));
    }
    Ok(inserted)
}

/// Whether the rows can be written by one statement, which is a transaction by itself.
pub(super) fn is_one_statement(rows: &[JobRow]) -> bool {
    rows.len() == 1 && rows[0].unique.is_none()
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

/// The new numbers, in the order of the rows.
async fn write(connection: &mut SqliteConnection, rows: &[JobRow]) -> Result<Vec<i64>> {
    if rows.len() > 1 && rows.windows(2).all(|pair| differ_in_input_only(&pair[0], &pair[1])) {
        return write_alike(connection, rows).await;
    }
    let mut ids = Vec::with_capacity(rows.len());
    for (sql, part) in INSERT.parts(rows) {
        let mut query = sqlx::query(sql);
        for new in part {
            query = bind_but_input(query.bind(new.input.to_string()), new)?;
        }
        // All rows, not the first: the statement commits when it has run to its end.
        let first = ids.len();
        for row in query.fetch_all(&mut *connection).await? {
            ids.push(row.try_get(0)?);
        }
        // AUTOINCREMENT counts up from row to row.
        ids[first..].sort_unstable();
    }
    Ok(ids)
}

/// Rows of which nothing can stand in the way of another, and that have only their input to
/// themselves, as in most batches: all else goes to SQLite once.
async fn write_alike(connection: &mut SqliteConnection, rows: &[JobRow]) -> Result<Vec<i64>> {
    let mut ids = Vec::with_capacity(rows.len());
    for (sql, part) in INSERT_ALIKE.parts(rows) {
        let mut query = bind_but_input(sqlx::query(sql), &part[0])?;
        for new in part {
            query = query.bind(new.input.to_string());
        }
        let last = query.execute(&mut *connection).await?.last_insert_rowid();
        // The write lock is ours, so AUTOINCREMENT counts up without a gap.
        ids.extend(last + 1 - part.len() as i64..=last);
    }
    Ok(ids)
}

fn differ_in_input_only(one: &JobRow, other: &JobRow) -> bool {
    let times = |row: &JobRow| (row.state, row.inserted_at, row.scheduled_at);
    let numbers = |row: &JobRow| (row.priority, row.max_attempts, row.max_snoozes);
    one.unique.is_none()
        && other.unique.is_none()
        && times(one) == times(other)
        && numbers(one) == numbers(other)
        && (&one.queue, &one.worker, &one.tags) == (&other.queue, &other.worker, &other.tags)
        && (&one.args, &one.meta, &one.concurrency_key) == (&other.args, &other.meta, &other.concurrency_key)
}

fn bind_but_input<'q>(query: Query<'q>, new: &'q JobRow) -> Result<Query<'q>> {
    let unique = new.unique.as_ref();
    let states = unique.map_or(0, |unique| unique.states.iter().map(|state| state_bit(*state)).sum());
    Ok(query
        .bind(new.state.name())
        .bind(new.queue.as_str())
        .bind(new.worker.as_str())
        .bind(json(&new.args)?)
        .bind(json(&new.meta)?)
        .bind(json(&new.tags)?)
        .bind(new.priority)
        .bind(new.max_attempts)
        .bind(new.max_snoozes)
        .bind(new.inserted_at.as_microsecond())
        .bind(new.scheduled_at.as_microsecond())
        .bind(new.concurrency_key.as_deref())
        .bind(unique.map(|unique| unique.key.as_str()))
        .bind(unique.and_then(|unique| unique.until).map(|until| until.as_microsecond()))
        .bind::<i64>(states))
}

/// The job that holds the key. It is there: we are inside the transaction in which it stood in the
/// way.
async fn holder(connection: &mut SqliteConnection, new: &JobRow) -> Result<Job> {
    let key = new.unique.as_ref().map(|unique| unique.key.as_str());
    let row = sqlx::query(concat!("SELECT ", job_columns!(), " FROM claude_jobs WHERE unique_key = ?"))
        .bind(key)
        .fetch_one(connection)
        .await?;
    Ok(row::job(&row)?)
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| crate::Error::Database(Box::new(error)))
}
