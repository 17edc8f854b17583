//! Rows to values. A damaged row still becomes a [`Job`] that says so, because one bad row must
//! neither stop a queue nor hide from a list.

use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::clock::timestamp;
use crate::job::{Job, JobId, State};
use crate::options::ArgMap;

/// The columns of [`job`], for every statement that returns jobs.
macro_rules! job_columns {
    () => {
        "id, state, queue, worker, input, args, meta, tags, priority, attempt, uncounted, max_attempts, \
         snoozes, max_snoozes, inserted_at, scheduled_at, attempted_at, finished_at, node, reason, \
         cancel_requested, concurrency_key, resume"
    };
}
pub(super) use job_columns;

/// The job in a row of [`job_columns!`].
pub(super) fn job(row: &SqliteRow) -> sqlx::Result<Job> {
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
        priority: damage.number(row, "priority", "0 to 9", |number| {
            u8::try_from(number).ok().filter(|priority| *priority <= 9)
        })?,
        attempt: damage.number(row, "attempt", "0 or more", |number| u32::try_from(number).ok())?,
        uncounted: damage.number(row, "uncounted", "0 or more", |number| u32::try_from(number).ok())?,
        max_attempts: damage.number(row, "max_attempts", "1 or more", |number| {
            u32::try_from(number).ok().filter(|attempts| *attempts > 0)
        })?,
        snoozes: damage.number(row, "snoozes", "0 or more", |number| u32::try_from(number).ok())?,
        max_snoozes: damage.number(row, "max_snoozes", "0 or more", |number| u32::try_from(number).ok())?,
        inserted_at: timestamp(row.try_get("inserted_at")?),
        scheduled_at: timestamp(row.try_get("scheduled_at")?),
        attempted_at: row.try_get::<Option<i64>, _>("attempted_at")?.map(timestamp),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(timestamp),
        node: optional_text(row, "node")?,
        reason: optional_text(row, "reason")?,
        cancel_requested: row.try_get("cancel_requested")?,
        concurrency_key: optional_text(row, "concurrency_key")?,
        resume: optional_text(row, "resume")?,
        damage: None,
    };
    Ok(Job { damage: damage.0, ..job })
}

/// A column's text. SQLite keeps any bytes as text; what is no UTF-8 is replaced, so that the row can
/// still be looked at.
pub(super) fn text(row: &SqliteRow, column: &str) -> sqlx::Result<String> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

/// As [`text`], for a column that may be `NULL`.
pub(super) fn optional_text(row: &SqliteRow, column: &str) -> sqlx::Result<Option<String>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// The first column that cannot be read, and what it should hold.
struct Damage(Option<String>);

impl Damage {
    fn note(&mut self, column: &str, expected: &str) {
        self.0.get_or_insert_with(|| format!("column `{column}` is not {expected}"));
    }

    fn json<T: Default>(
        &mut self,
        row: &SqliteRow,
        column: &str,
        expected: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> sqlx::Result<T> {
        let text: &[u8] = row.try_get(column)?;
        Ok(serde_json::from_slice(text).ok().and_then(read).unwrap_or_else(|| {
            self.note(column, expected);
            T::default()
        }))
    }

    fn number<T: Default>(
        &mut self,
        row: &SqliteRow,
        column: &str,
        expected: &str,
        read: impl Fn(i64) -> Option<T>,
    ) -> sqlx::Result<T> {
        Ok(read(row.try_get(column)?).unwrap_or_else(|| {
            self.note(column, expected);
            T::default()
        }))
    }
}

/// The bit of a state in `unique_states`.
pub(super) fn state_bit(state: State) -> i64 {
    let position = State::ALL.iter().position(|other| *other == state);
    1 << position.expect("ALL holds every state")
}
