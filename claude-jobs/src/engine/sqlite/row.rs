//! Rows to values.

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};

use crate::clock::timestamp;
pub(super) use crate::engine::damage::state_bit;
use crate::engine::damage::{self, lossy};
use crate::job::Job;

/// The columns of [`job`], the first ones of every statement that returns jobs.
macro_rules! job_columns {
    () => {
        "id, state, queue, worker, input, args, meta, tags, priority, attempt, uncounted, max_attempts, \
         snoozes, max_snoozes, inserted_at, scheduled_at, attempted_at, finished_at, node, reason, \
         cancel_requested, concurrency_key, continuation, trace, begun"
    };
}
pub(super) use job_columns;

/// The job in a row of [`job_columns!`].
pub(super) fn job(row: &SqliteRow) -> sqlx::Result<Job> {
    damage::job(&mut Columns { row, next: 0 })
}

struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    fn value<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> sqlx::Result<T> {
        self.next += 1;
        self.row.try_get(self.next - 1)
    }
}

impl<'r> damage::Columns<'r> for Columns<'r> {
    fn number(&mut self) -> sqlx::Result<i64> {
        self.value()
    }

    fn optional_number(&mut self) -> sqlx::Result<i64> {
        self.value()
    }

    fn small_number(&mut self) -> sqlx::Result<i64> {
        self.value()
    }

    fn bytes(&mut self) -> sqlx::Result<Option<&'r [u8]>> {
        self.value()
    }

    fn moment(&mut self) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.value::<Option<i64>>()?.map(timestamp))
    }

    fn flag(&mut self) -> sqlx::Result<bool> {
        self.value()
    }
}

/// A column's text. SQLite keeps any bytes as text; what is no UTF-8 is replaced, so that the row can
/// still be looked at.
pub(super) fn text(row: &SqliteRow, column: &str) -> sqlx::Result<String> {
    Ok(optional_text(row, column)?.unwrap_or_default())
}

/// As [`text`], for a column that may be `NULL`.
pub(super) fn optional_text(row: &SqliteRow, column: &str) -> sqlx::Result<Option<String>> {
    Ok(row.try_get::<Option<&[u8]>, _>(column)?.map(lossy))
}
