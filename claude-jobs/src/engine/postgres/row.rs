//! Rows to values and back.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use super::moment::Moment;
use crate::clock::timestamp;
pub(super) use crate::engine::damage::state_bit;
use crate::engine::damage::{self, lossy};
use crate::error::{Error, Result};
use crate::job::{Job, State};

/// The columns of a job, in the order in which a [job](damage::job) is read from them. No tags are `NULL`.
macro_rules! columns {
    ($state:literal, $attempted_at:literal, $node:literal, $reason:literal) => {
        concat!(
            "id, ",
            $state,
            " AS state, queue, worker, input, args, meta, \
             CASE WHEN tags <> '[]' THEN tags::text END AS tags, priority, attempt, uncounted, \
             max_attempts, snoozes, max_snoozes, inserted_at, scheduled_at, ",
            $attempted_at,
            " AS attempted_at, finished_at, ",
            $node,
            " AS node, ",
            $reason,
            " AS reason, cancel_requested, concurrency_key, resume, trace"
        )
    };
}
pub(super) use columns;

/// The columns of [`job`], the first ones of every statement that returns jobs.
macro_rules! job_columns {
    () => {
        $crate::engine::postgres::row::columns!("state::text", "attempted_at", "node", "reason")
    };
}
pub(super) use job_columns;

/// The columns of [`claimed`]: what a claim has just written needs no sending back.
macro_rules! claimed_columns {
    () => {
        $crate::engine::postgres::row::columns!("NULL::text", "NULL::timestamptz", "NULL::text", "NULL::text")
    };
}
pub(super) use claimed_columns;

/// The job in a row of [`job_columns!`].
pub(super) fn job(row: &PgRow) -> sqlx::Result<Job> {
    damage::job(&mut Columns { row, next: 0 })
}

/// The jobs in rows of [`job_columns!`].
pub(super) fn jobs(rows: &[PgRow]) -> Result<Vec<Job>> {
    Ok(rows.iter().map(job).collect::<sqlx::Result<_>>()?)
}

/// The jobs that a claim has taken, in rows of [`claimed_columns!`] from the column of this number on.
pub(super) fn claimed(rows: &[PgRow], first: usize, node: &str, now: Timestamp) -> Result<Vec<Job>> {
    // As the database keeps it.
    let now = timestamp(now.as_microsecond());
    let take = |row| {
        let job = damage::job(&mut Columns { row, next: first })?;
        let (node, attempted_at) = (Some(node.to_owned()), Some(now));
        Ok(Job { state: State::Executing, node, attempted_at, ..job })
    };
    Ok(rows.iter().map(take).collect::<sqlx::Result<_>>()?)
}

struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    fn value<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> sqlx::Result<T> {
        self.next += 1;
        self.row.try_get_unchecked(self.next - 1)
    }
}

impl<'r> damage::Columns<'r> for Columns<'r> {
    fn number(&mut self) -> sqlx::Result<i64> {
        self.value()
    }

    fn small_number(&mut self) -> sqlx::Result<i64> {
        Ok(self.value::<i16>()?.into())
    }

    fn bytes(&mut self) -> sqlx::Result<Option<&'r [u8]>> {
        self.value()
    }

    fn moment(&mut self) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.value::<Option<Moment>>()?.map(|moment| moment.0))
    }

    fn flag(&mut self) -> sqlx::Result<bool> {
        self.value()
    }
}

/// A column's text, also of JSON. A database in another encoding than UTF-8 may hold what is no text;
/// that is replaced, so that the row can still be looked at.
pub(super) fn text(row: &PgRow, column: &str) -> sqlx::Result<String> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

/// As [`text`], for a column that may be `NULL`.
pub(super) fn optional_text(row: &PgRow, column: &str) -> sqlx::Result<Option<String>> {
    Ok(row.try_get_unchecked::<Option<&[u8]>, _>(column)?.map(lossy))
}

pub(super) fn moment(row: &PgRow, column: &str) -> sqlx::Result<Timestamp> {
    Ok(row.try_get::<Moment, _>(column)?.0)
}

pub(super) fn optional_moment(row: &PgRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<Moment>, _>(column)?.map(|moment| moment.0))
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
