//! Rows to values and back.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::moment::Moment;
use crate::engine::damage::Columns;
pub(super) use crate::engine::damage::{job, moment, optional_text, state_bit, text};
use crate::error::{Error, Result};
use crate::job::Job;

/// The columns of [`job`], for every statement that returns jobs.
macro_rules! job_columns {
    () => {
        "id, state, queue, worker, input, args, meta, tags::text AS tags, priority, attempt, uncounted, \
         max_attempts, snoozes, max_snoozes, inserted_at, scheduled_at, attempted_at, finished_at, node, \
         reason, cancel_requested, concurrency_key, resume"
    };
}
pub(super) use job_columns;

/// The jobs in rows of [`job_columns!`].
pub(super) fn jobs(rows: &[PgRow]) -> Result<Vec<Job>> {
    Ok(rows.iter().map(job).collect::<sqlx::Result<_>>()?)
}

pub(super) fn optional_moment(row: &PgRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    row.moment(column)
}

impl Columns for PgRow {
    fn number(&self, column: &str) -> sqlx::Result<i64> {
        self.try_get(column)
    }

    fn small_number(&self, column: &str) -> sqlx::Result<i64> {
        Ok(self.try_get::<i16, _>(column)?.into())
    }

    fn bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>> {
        self.try_get_unchecked(column)
    }

    fn moment(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.try_get::<Option<Moment>, _>(column)?.map(|moment| moment.0))
    }

    fn flag(&self, column: &str) -> sqlx::Result<bool> {
        self.try_get(column)
    }
}

/// Text as PostgreSQL can hold it: NUL, which it cannot, becomes U+FFFD. What was paid for must not be
/// lost for such a character.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Text as it is sent.
pub(super) fn cleaned(text: &str) -> String {
    clean(text).into_owned()
}

/// JSON as text. It needs no cleaning: NUL is written as an escape.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Database(Box::new(error)))
}
