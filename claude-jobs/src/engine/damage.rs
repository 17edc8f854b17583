//! Stored rows to [`Job`]s. A damaged row still becomes one that says so, because one bad row must neither
//! stop a queue nor hide from a list.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::job::{Job, JobId, State};
use crate::options::ArgMap;

/// A row's columns, by name.
pub(super) trait Columns {
    /// A whole number of any size.
    fn number(&self, column: &str) -> sqlx::Result<i64>;

    /// As [`number`](Self::number), where a small one has a type of its own.
    fn small_number(&self, column: &str) -> sqlx::Result<i64> {
        self.number(column)
    }

    /// Text or JSON as it is stored.
    fn bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>>;

    /// A time.
    fn moment(&self, column: &str) -> sqlx::Result<Option<Timestamp>>;

    /// Yes or no.
    fn flag(&self, column: &str) -> sqlx::Result<bool>;
}

/// The job in a row of either engine's `job_columns!`.
pub(super) fn job(row: &impl Columns) -> sqlx::Result<Job> {
    let mut damage = Damage(None);
    let state = text(row, "state")?;
    let job = Job {
        id: JobId(row.number("id")?),
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
        priority: damage.number(row.small_number("priority")?, "priority", "0 to 9", |number| {
            u8::try_from(number).ok().filter(|priority| *priority <= 9)
        }),
        attempt: damage.count(row, "attempt")?,
        uncounted: damage.count(row, "uncounted")?,
        max_attempts: damage.number(row.number("max_attempts")?, "max_attempts", "1 or more", |number| {
            u32::try_from(number).ok().filter(|attempts| *attempts > 0)
        }),
        snoozes: damage.count(row, "snoozes")?,
        max_snoozes: damage.count(row, "max_snoozes")?,
        inserted_at: moment(row, "inserted_at")?,
        scheduled_at: moment(row, "scheduled_at")?,
        attempted_at: row.moment("attempted_at")?,
        finished_at: row.moment("finished_at")?,
        node: optional_text(row, "node")?,
        reason: optional_text(row, "reason")?,
        cancel_requested: row.flag("cancel_requested")?,
        concurrency_key: optional_text(row, "concurrency_key")?,
        resume: optional_text(row, "resume")?,
        damage: None,
    };
    Ok(Job { damage: damage.0, ..job })
}

/// A column's text. SQLite keeps any bytes as text, and a PostgreSQL database may be in another encoding than
/// UTF-8: what is no text is replaced, so that the row can still be looked at.
pub(super) fn text(row: &impl Columns, column: &str) -> sqlx::Result<String> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

/// As [`text`], for a column that may be `NULL`.
pub(super) fn optional_text(row: &impl Columns, column: &str) -> sqlx::Result<Option<String>> {
    Ok(row.bytes(column)?.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// A time that is always there.
pub(super) fn moment(row: &impl Columns, column: &str) -> sqlx::Result<Timestamp> {
    row.moment(column)?.ok_or_else(|| sqlx::Error::Decode(format!("column `{column}` is NULL").into()))
}

/// The first column that cannot be read, and what it should hold.
struct Damage(Option<String>);

impl Damage {
    fn note(&mut self, column: &str, expected: &str) {
        self.0.get_or_insert_with(|| format!("column `{column}` is not {expected}"));
    }

    fn json<T: Default>(
        &mut self,
        row: &impl Columns,
        column: &str,
        expected: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> sqlx::Result<T> {
        let text = row.bytes(column)?.unwrap_or_default();
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

    fn count(&mut self, row: &impl Columns, column: &str) -> sqlx::Result<u32> {
        Ok(self.number(row.number(column)?, column, "0 or more", |number| u32::try_from(number).ok()))
    }
}

/// The bit of a state in `unique_states`.
pub(super) fn state_bit(state: State) -> i32 {
    let position = State::ALL.iter().position(|other| *other == state);
    1 << position.expect("ALL holds every state")
}
