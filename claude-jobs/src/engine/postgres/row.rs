//! Rows to values and back. A damaged row still becomes a [`Job`] that says so, because one bad row must
//! neither stop a queue nor hide from a list.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::moment::Moment;
use crate::error::{Error, Result};
use crate::job::{Job, JobId, State};
use crate::options::ArgMap;

/// The columns of [`job`], for every statement that returns jobs.
macro_rules! job_columns {
    () => {
        "id, state, queue, worker, input, args, meta, tags::text AS tags, priority, attempt, uncounted, \
         max_attempts, snoozes, max_snoozes, inserted_at, scheduled_at, attempted_at, finished_at, node, \
         reason, cancel_requested, concurrency_key, resume"
    };
}
pub(super) use job_columns;

/// The job in a row of [`job_columns!`].
pub(super) fn job(row: &PgRow) -> sqlx::Result<Job> {
    let mut damage = Damage(None);
    let state = text(row, "state")?;
    let job = Job {
        id: JobId(row.try_get("id")?),
        state: State::from_name(&state).unwrap_or_else(|| {
            damage.note("state", "a known state");
            State::Cancelled
        }),
        queue: text(row, "queue")?,
        worker: text(row, "worker")?,
        input: damage.json(row, "input", "JSON", Some)?,
        args: damage
            .json(row, "args", "a JSON object", |json| serde_json::from_value::<ArgMap>(json).ok())?,
        meta: damage.json(row, "meta", "a JSON object", |json| {
            serde_json::from_value::<Map<String, Value>>(json).ok()
        })?,
        tags: damage.json(row, "tags", "a JSON list of texts", |json| serde_json::from_value(json).ok())?,
        priority: damage.number(row.try_get::<i16, _>("priority")?.into(), "priority", "0 to 9", |number| {
            u8::try_from(number).ok().filter(|priority| *priority <= 9)
        }),
        attempt: damage.count(row, "attempt")?,
        uncounted: damage.count(row, "uncounted")?,
        max_attempts: damage.number(row.try_get("max_attempts")?, "max_attempts", "1 or more", |number| {
            u32::try_from(number).ok().filter(|attempts| *attempts > 0)
        }),
        snoozes: damage.count(row, "snoozes")?,
        max_snoozes: damage.count(row, "max_snoozes")?,
        inserted_at: moment(row, "inserted_at")?,
        scheduled_at: moment(row, "scheduled_at")?,
        attempted_at: optional_moment(row, "attempted_at")?,
        finished_at: optional_moment(row, "finished_at")?,
        node: optional_text(row, "node")?,
        reason: optional_text(row, "reason")?,
        cancel_requested: row.try_get("cancel_requested")?,
        concurrency_key: optional_text(row, "concurrency_key")?,
        resume: optional_text(row, "resume")?,
        damage: None,
    };
    Ok(Job { damage: damage.0, ..job })
}

/// The jobs in rows of [`job_columns!`].
pub(super) fn jobs(rows: &[PgRow]) -> Result<Vec<Job>> {
    Ok(rows.iter().map(job).collect::<sqlx::Result<_>>()?)
}

/// A column's text, also of JSON. A database in another encoding than UTF-8 may hold what is no text;
/// that is replaced, so that the row can still be looked at.
pub(super) fn text(row: &PgRow, column: &str) -> sqlx::Result<String> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

/// As [`text`], for a column that may be `NULL`.
pub(super) fn optional_text(row: &PgRow, column: &str) -> sqlx::Result<Option<String>> {
    let bytes: Option<&[u8]> = row.try_get_unchecked(column)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

pub(super) fn moment(row: &PgRow, column: &str) -> sqlx::Result<Timestamp> {
    Ok(row.try_get::<Moment, _>(column)?.0)
}

pub(super) fn optional_moment(row: &PgRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<Moment>, _>(column)?.map(|moment| moment.0))
}

/// The first column that cannot be read, and what it should hold.
struct Damage(Option<String>);

impl Damage {
    fn note(&mut self, column: &str, expected: &str) {
        self.0.get_or_insert_with(|| format!("column `{column}` is not {expected}"));
    }

    fn json<T: Default>(
        &mut self,
        row: &PgRow,
        column: &str,
        expected: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> sqlx::Result<T> {
        let text: &[u8] = row.try_get_unchecked(column)?;
        Ok(serde_json::from_slice(text).ok().and_then(read).unwrap_or_else(|| {
            self.note(column, expected);
            T::default()
        }))
    }

    fn number<T: Default>(
        &mut self,
        number: i64,
        column: &str,
        expected: &str,
        read: impl Fn(i64) -> Option<T>,
    ) -> T {
        read(number).unwrap_or_else(|| {
            self.note(column, expected);
            T::default()
        })
    }

    fn count(&mut self, row: &PgRow, column: &str) -> sqlx::Result<u32> {
        let number = row.try_get(column)?;
        Ok(self.number(number, column, "0 or more", |number| u32::try_from(number).ok()))
    }
}

/// The bit of a state in `unique_states`.
pub(super) fn state_bit(state: State) -> i32 {
    let position = State::ALL.iter().position(|other| *other == state);
    1 << position.expect("ALL holds every state")
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
