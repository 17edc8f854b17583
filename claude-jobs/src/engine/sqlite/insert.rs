//! Inserts, in the engine's own transaction or the user's.

use sqlx::{Row, SqliteConnection};

use super::row::{self, job_columns, state_bit};
use crate::error::Result;
use crate::job::{Inserted, Job, JobRow, UniqueRow};

/// claude_jobs_unique
pub(super) const RELEASE_EXPIRED: &str =
    "UPDATE claude_jobs SET unique_key = NULL WHERE unique_key = ? AND unique_until <= ?";

/// Writes jobs on a connection that is inside a transaction.
pub(crate) async fn insert_in(connection: &mut SqliteConnection, rows: &[JobRow]) -> Result<Vec<Inserted>> {
    let mut inserted = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(unique) = &row.unique {
            release_expired(connection, unique, row).await?;
        }
        inserted.push(match insert_one(connection, row).await? {
            Some(job) => Inserted { job, duplicate: false },
            None => Inserted { job: holder(connection, row).await?, duplicate: true },
        });
    }
    Ok(inserted)
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

async fn insert_one(connection: &mut SqliteConnection, new: &JobRow) -> Result<Option<Job>> {
    let unique = new.unique.as_ref();
    let states = unique.map_or(0, |unique| unique.states.iter().map(|state| state_bit(*state)).sum::<i64>());
    let row = sqlx::query(
        "INSERT INTO claude_jobs (state, queue, worker, input, args, meta, tags, priority, max_attempts, \
         max_snoozes, inserted_at, scheduled_at, unique_key, unique_until, unique_states) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING RETURNING id",
    )
    .bind(new.state.name())
    .bind(&new.queue)
    .bind(&new.worker)
    .bind(new.input.to_string())
    .bind(json(&new.args)?)
    .bind(json(&new.meta)?)
    .bind(json(&new.tags)?)
    .bind(new.priority)
    .bind(new.max_attempts)
    .bind(new.max_snoozes)
    .bind(new.inserted_at.as_microsecond())
    .bind(new.scheduled_at.as_microsecond())
    .bind(unique.map(|unique| unique.key.as_str()))
    .bind(unique.and_then(|unique| unique.until).map(|until| until.as_microsecond()))
    .bind(states)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok(new.stored_as(row.try_get("id")?))).transpose()
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
