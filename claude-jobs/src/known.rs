//! [`Known`]: what a queue knows without asking its database.
//!
//! With it a job can be checked, prepared and judged where there is no database at all, as the test kit
//! does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::{Clock, ahead_of};
use crate::error::{Error, Result};
use crate::job::{Job, JobRow, NewJob};
use crate::registry::Registry;
use crate::untrusted::Values;

/// What a queue knows without asking its database. Clones share the time.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) registry: Registry,
    pub(crate) clock: Clock,
    /// What has to be added to our clock to get the database's, in microseconds; nothing where it has
    /// none.
    pub(crate) behind: Option<Arc<AtomicI64>>,
    pub(crate) database_id: Uuid,
}

impl Known {
    pub(crate) fn new(registry: Registry, clock: Clock, database_id: Uuid) -> Self {
        Self { registry, clock, behind: None, database_id }
    }

    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        let between = self.clock.now().as_microsecond().saturating_sub(clock.now().as_microsecond());
        let moved = |behind: Arc<AtomicI64>| behind.load(Ordering::Relaxed).saturating_add(between);
        let behind = self.behind.map(moved).map(|behind| Arc::new(AtomicI64::new(behind)));
        Self { clock, behind, ..self }
    }

    /// The present moment: the database's, where it has a clock.
    pub(crate) fn now(&self) -> Timestamp {
        match &self.behind {
            Some(behind) if !self.clock.is_manual() => {
                ahead_of(self.clock.now(), behind.load(Ordering::Relaxed))
            }
            _ => self.clock.now(),
        }
    }

    /// Checked rows of new jobs.
    pub(crate) fn rows(&self, jobs: impl IntoIterator<Item = NewJob>) -> Result<Vec<JobRow>> {
        let now = self.now();
        jobs.into_iter().map(|job| self.row(job, now)).collect()
    }

    pub(crate) fn row(&self, job: NewJob, now: Timestamp) -> Result<JobRow> {
        let registration = self.registry.get(&job.worker)?;
        let input = |problem| Error::InvalidJob(format!("input of worker `{}`: {problem}", job.worker));
        let definition = registration.definition;
        let worker = registration.read(&job.input).map_err(input)?;
        let values = Values::of(definition, &worker).map_err(input)?;
        job.into_row(definition, &values, now)
    }

    /// The session that an attempt runs under unless its options say otherwise. Derived, so that it is
    /// known before the start and after a crash, whoever asks.
    pub(crate) fn session_id(&self, job: &Job) -> String {
        let name = format!("{}.{}", job.id, job.attempt);
        Uuid::new_v5(&self.database_id, name.as_bytes()).to_string()
    }
}
