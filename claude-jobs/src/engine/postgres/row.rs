//! Rows to values and back. A damaged row still becomes a [`Job`] that says so, because one bad row must
//! neither stop a queue nor hide from a list.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use super::moment::Moment;
use crate::clock::timestamp;
use crate::error::{Error, Result};
use crate::job::{Job, JobId, State};

/// The columns of a job, in the order in which [`Columns`] reads them. No tags are `NULL`.
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
            " AS reason, cancel_requested, concurrency_key, resume"
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
    Columns { row, next: 0 }.job()
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
        let job = Columns { row, next: first }.job()?;
        let (node, attempted_at) = (Some(node.to_owned()), Some(now));
        Ok(Job { state: State::Executing, node, attempted_at, ..job })
    };
    Ok(rows.iter().map(take).collect::<sqlx::Result<_>>()?)
}

/// A row's columns, one after the other: to find one by its name takes longer than to read it.
struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
}

impl<'r> Columns<'r> {
    fn job(&mut self) -> sqlx::Result<Job> {
        let mut damage = Damage(None);
        let job = Job {
            id: JobId(self.value()?),
            state: self.bytes()?.map_or(State::Executing, state),
            queue: self.text()?,
            worker: self.text()?,
            input: damage.json(self.bytes()?, "input", "JSON", Some),
            args: self.map(&mut damage, "args")?,
            meta: self.map(&mut damage, "meta")?,
            tags: damage.json(self.bytes()?, "tags", "a JSON list of texts", |json| {
                serde_json::from_value(json).ok()
            }),
            priority: damage.number(self.value::<i16>()?.into(), "priority", "0 to 9", |number| {
                u8::try_from(number).ok().filter(|priority| *priority <= 9)
            }),
            attempt: self.count(&mut damage, "attempt")?,
            uncounted: self.count(&mut damage, "uncounted")?,
            max_attempts: damage.number(self.value()?, "max_attempts", "1 or more", |number| {
                u32::try_from(number).ok().filter(|attempts| *attempts > 0)
            }),
            snoozes: self.count(&mut damage, "snoozes")?,
            max_snoozes: self.count(&mut damage, "max_snoozes")?,
            inserted_at: self.value::<Moment>()?.0,
            scheduled_at: self.value::<Moment>()?.0,
            attempted_at: self.value::<Option<Moment>>()?.map(|moment| moment.0),
            finished_at: self.value::<Option<Moment>>()?.map(|moment| moment.0),
            node: self.optional_text()?,
            reason: self.optional_text()?,
            cancel_requested: self.value()?,
            concurrency_key: self.optional_text()?,
            resume: self.optional_text()?,
            damage: None,
        };
        Ok(Job { damage: damage.0, ..job })
    }

    fn value<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> sqlx::Result<T> {
        self.next += 1;
        self.row.try_get_unchecked(self.next - 1)
    }

    /// As it is stored.
    fn bytes(&mut self) -> sqlx::Result<Option<&'r [u8]>> {
        self.value()
    }

    fn optional_text(&mut self) -> sqlx::Result<Option<String>> {
        Ok(self.bytes()?.map(lossy))
    }

    fn text(&mut self) -> sqlx::Result<String> {
        Ok(self.optional_text()?.unwrap_or_default())
    }

    fn count(&mut self, damage: &mut Damage, column: &str) -> sqlx::Result<u32> {
        Ok(damage.number(self.value()?, column, "0 or more", |number| u32::try_from(number).ok()))
    }

    fn map<T: Default + DeserializeOwned>(&mut self, damage: &mut Damage, column: &str) -> sqlx::Result<T> {
        // Of most jobs it is empty.
        let text = self.bytes()?.filter(|text| *text != b"{}");
        Ok(damage.json(text, column, "a JSON object", |json| serde_json::from_value(json).ok()))
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

fn lossy(text: &[u8]) -> String {
    // Without a look at each character where there is nothing to replace.
    str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text).into_owned(), str::to_owned)
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

    /// Nothing is the default.
    fn json<T: Default>(
        &mut self,
        text: Option<&[u8]>,
        column: &str,
        expected: &str,
        read: impl Fn(Value) -> Option<T>,
    ) -> T {
        let Some(text) = text else { return T::default() };
        serde_json::from_slice(text).ok().and_then(read).unwrap_or_else(|| {
            self.note(column, expected);
            T::default()
        })
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
}

/// The state of that name: the column holds no other.
fn state(name: &[u8]) -> State {
    State::ALL.into_iter().find(|state| state.name().as_bytes() == name).unwrap_or(State::Cancelled)
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
