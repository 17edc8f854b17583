//! Stored rows to [`Job`]s. A damaged row still becomes one that says so, because one bad row must neither
//! stop a queue nor hide from a list.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::job::{Job, JobId, State};

/// A row's columns, one after the other: to find one by its name takes longer than to read it.
pub(super) trait Columns<'r> {
    /// A whole number of any size.
    fn number(&mut self) -> sqlx::Result<i64>;

    /// A whole number of any size; 0 where a claim leaves it out.
    fn optional_number(&mut self) -> sqlx::Result<i64>;

    /// A number for which a small type is enough.
    fn small_number(&mut self) -> sqlx::Result<i64>;

    /// Text or JSON as it is stored.
    fn bytes(&mut self) -> sqlx::Result<Option<&'r [u8]>>;

    /// A time.
    fn moment(&mut self) -> sqlx::Result<Option<Timestamp>>;

    /// Yes or no.
    fn flag(&mut self) -> sqlx::Result<bool>;
}

/// The job in a row whose columns are in the order of either engine's `job_columns!`.
pub(super) fn job<'r>(row: &mut impl Columns<'r>) -> sqlx::Result<Job> {
    let mut damage = Damage(None);
    let job = Job {
        id: JobId(row.number()?),
        // A claim that knows it leaves it out.
        state: row.bytes()?.map_or(State::Executing, |name| damage.state(name)),
        queue: text(row)?,
        worker: text(row)?,
        input: damage.json(row.bytes()?, "input", "JSON", Some),
        args: damage.map(row, "args")?,
        meta: damage.map(row, "meta")?,
        tags: damage
            .json(row.bytes()?, "tags", "a JSON list of texts", |json| serde_json::from_value(json).ok()),
        priority: damage.number(row.small_number()?, "priority", "0 to 9", |number| {
            u8::try_from(number).ok().filter(|priority| *priority <= 9)
        }),
        attempt: damage.count(row, "attempt")?,
        uncounted: damage.count(row, "uncounted")?,
        max_attempts: damage.number(row.number()?, "max_attempts", "1 or more", |number| {
            u32::try_from(number).ok().filter(|attempts| *attempts > 0)
        }),
        snoozes: damage.count(row, "snoozes")?,
        max_snoozes: damage.count(row, "max_snoozes")?,
        inserted_at: moment(row)?,
        scheduled_at: moment(row)?,
        attempted_at: row.moment()?,
        finished_at: row.moment()?,
        node: row.bytes()?.map(lossy),
        reason: row.bytes()?.map(lossy),
        cancel_requested: row.flag()?,
        concurrency_key: row.bytes()?.map(lossy),
        continuation: damage.map(row, "continuation")?,
        trace: row.bytes()?.map(lossy),
        begun: damage
            .number(row.optional_number()?, "begun", "0 or more", |number| u32::try_from(number).ok()),
        damage: None,
    };
    Ok(Job { damage: damage.0, ..job })
}

fn text<'r>(row: &mut impl Columns<'r>) -> sqlx::Result<String> {
    Ok(row.bytes()?.map(lossy).unwrap_or_default())
}

/// What is no text is replaced.
pub(super) fn lossy(text: &[u8]) -> String {
    // Without a look at each character where there is nothing to replace.
    str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text).into_owned(), str::to_owned)
}

fn moment<'r>(row: &mut impl Columns<'r>) -> sqlx::Result<Timestamp> {
    row.moment()?.ok_or_else(|| sqlx::Error::Decode("a time that is always there is NULL".into()))
}

/// The first column that cannot be read, and what it should hold.
struct Damage(Option<String>);

impl Damage {
    fn note(&mut self, column: &str, expected: &str) {
        self.0.get_or_insert_with(|| format!("column `{column}` is not {expected}"));
    }

    fn state(&mut self, name: &[u8]) -> State {
        State::ALL.into_iter().find(|state| state.name().as_bytes() == name).unwrap_or_else(|| {
            self.note("state", "a known state");
            State::Cancelled
        })
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

    fn map<'r, T: Default + DeserializeOwned>(
        &mut self,
        row: &mut impl Columns<'r>,
        column: &str,
    ) -> sqlx::Result<T> {
        // Of most jobs it is empty.
        let text = row.bytes()?.filter(|text| *text != b"{}");
        Ok(self.json(text, column, "a JSON object", |json| serde_json::from_value(json).ok()))
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

    fn count<'r>(&mut self, row: &mut impl Columns<'r>, column: &str) -> sqlx::Result<u32> {
        Ok(self.number(row.number()?, column, "0 or more", |number| u32::try_from(number).ok()))
    }
}

/// The bit of a state in `unique_states`.
pub(super) fn state_bit(state: State) -> i32 {
    let position = State::ALL.iter().position(|other| *other == state);
    1 << position.expect("ALL holds every state")
}
