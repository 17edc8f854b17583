//! Rows to values and back.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use super::moment::Moment;
use crate::clock::timestamp;
use crate::engine::ClaimRequest;
pub(super) use crate::engine::damage::state_bit;
use crate::engine::damage::{self, lossy};
use crate::error::{Error, Result};
use crate::job::{Job, State};

/// The columns of [`job`], in the order in which a [job](damage::job) is read from them; the first ones of every
/// statement that returns jobs. No tags are `NULL`.
macro_rules! job_columns {
    () => {
        "id, state::text AS state, queue, worker, input, args, meta, \
         CASE WHEN tags <> '[]' THEN tags::text END AS tags, priority, attempt, uncounted, max_attempts, snoozes, \
         max_snoozes, inserted_at, scheduled_at, attempted_at, finished_at, node, reason, cancel_requested, \
         concurrency_key, continuation, trace, begun"
    };
}
pub(super) use job_columns;

/// The columns of [`claimed`]: those of [`job_columns!`] without what a claim knows, having written or asked
/// for it, or does not need. Each column costs.
macro_rules! claimed_columns {
    () => {
        "id, worker, input, args, meta, CASE WHEN tags <> '[]' THEN tags::text END AS tags, priority, attempt, \
         uncounted, max_attempts, snoozes, max_snoozes, inserted_at, scheduled_at, concurrency_key, continuation, trace"
    };
}
pub(super) use claimed_columns;

/// The places in [`job_columns!`] of those that [`claimed_columns!`] lack, as bits.
const KNOWN_TO_CLAIM: u32 = 1 << 1 | 1 << 2 | 0b1_1111 << 16 | 1 << 24;

/// The job in a row of [`job_columns!`].
pub(super) fn job(row: &PgRow) -> sqlx::Result<Job> {
    damage::job(&mut Columns { row, left_out: 0, next: 0 })
}

/// The jobs in rows of [`job_columns!`].
pub(super) fn jobs(rows: &[PgRow]) -> Result<Vec<Job>> {
    Ok(rows.iter().map(job).collect::<sqlx::Result<_>>()?)
}

/// The jobs that a claim has taken, in rows of [`claimed_columns!`].
pub(super) fn claimed(rows: &[PgRow], request: &ClaimRequest<'_>) -> Result<Vec<Job>> {
    // As the database keeps it.
    let now = timestamp(request.now.as_microsecond());
    let take = |row| {
        let job = damage::job(&mut Columns { row, left_out: KNOWN_TO_CLAIM, next: 0 })?;
        let (queue, node) = (request.queue.to_owned(), Some(request.node.to_owned()));
        Ok(Job { state: State::Executing, queue, node, attempted_at: Some(now), ..job })
    };
    Ok(rows.iter().map(take).collect::<sqlx::Result<_>>()?)
}

struct Columns<'r> {
    row: &'r PgRow,
    /// One bit for each column of a job, the lowest for the next: set where the row has none.
    left_out: u32,
    /// The next one of the row.
    next: usize,
}

impl<'r> Columns<'r> {
    fn value<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> sqlx::Result<Option<T>> {
        let is_left_out = self.left_out & 1 == 1;
        self.left_out >>= 1;
        if is_left_out {
            return Ok(None);
        }
        self.next += 1;
        self.row.try_get_unchecked(self.next - 1)
    }

    fn always<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> sqlx::Result<T> {
        self.value()?.ok_or_else(|| sqlx::Error::Decode("a number that is always there is NULL".into()))
    }
}

impl<'r> damage::Columns<'r> for Columns<'r> {
    fn number(&mut self) -> sqlx::Result<i64> {
        self.always()
    }

    fn optional_number(&mut self) -> sqlx::Result<i64> {
        Ok(self.value()?.unwrap_or(0))
    }

    fn small_number(&mut self) -> sqlx::Result<i64> {
        Ok(self.always::<i16>()?.into())
    }

    fn bytes(&mut self) -> sqlx::Result<Option<&'r [u8]>> {
        self.value()
    }

    fn moment(&mut self) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.value::<Moment>()?.map(|moment| moment.0))
    }

    fn flag(&mut self) -> sqlx::Result<bool> {
        Ok(self.value()?.unwrap_or(false))
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

/// Texts as they are sent.
pub(super) fn all_cleaned(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| cleaned(text)).collect()
}

/// JSON as text. It needs no cleaning: NUL is written as an escape.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Database(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_leaves_out_what_it_knows() {
        let names = |columns: &'static str| -> Vec<&str> {
            columns.split(", ").map(|column| column.rsplit(' ').next().unwrap_or(column)).collect()
        };
        let all = names(job_columns!());
        let known = (0..all.len()).filter(|place| KNOWN_TO_CLAIM >> place & 1 == 1).map(|place| all[place]);
        let known: Vec<_> = known.collect();
        let expected =
            ["state", "queue", "attempted_at", "finished_at", "node", "reason", "cancel_requested", "begun"];
        assert_eq!(known, expected);
        let sent: Vec<_> = all.into_iter().filter(|name| !known.contains(name)).collect();
        assert_eq!(names(claimed_columns!()), sent);
    }
}
