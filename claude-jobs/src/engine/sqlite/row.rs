//! Rows to values.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::clock::timestamp;
use crate::engine::damage::Columns;
pub(super) use crate::engine::damage::{job, optional_text, state_bit, text};

/// The columns of [`job`], for every statement that returns jobs.
macro_rules! job_columns {
    () => {
        "id, state, queue, worker, input, args, meta, tags, priority, attempt, uncounted, max_attempts, \
         snoozes, max_snoozes, inserted_at, scheduled_at, attempted_at, finished_at, node, reason, \
         cancel_requested, concurrency_key, resume"
    };
}
pub(super) use job_columns;

impl Columns for SqliteRow {
    fn number(&self, column: &str) -> sqlx::Result<i64> {
        self.try_get(column)
    }

    fn bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>> {
        self.try_get(column)
    }

    fn moment(&self, column: &str) -> sqlx::Result<Option<Timestamp>> {
        Ok(self.try_get::<Option<i64>, _>(column)?.map(timestamp))
    }

    fn flag(&self, column: &str) -> sqlx::Result<bool> {
        self.try_get(column)
    }
}
