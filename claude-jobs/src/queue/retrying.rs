//! Running jobs once more: one, only its handler, or all that ended for one reason.

use std::time::Duration;

use super::Queue;
use crate::engine::Filter;
use crate::error::Result;
use crate::job::{Job, JobId, State};
use crate::outcome::FailureKind;

/// How many jobs are read at once.
const PAGE: u32 = 1_000;

impl Queue {
    /// Makes a job claimable at once: one that waits for its time, or one that is over. It gets an
    /// attempt if it has none left. It goes on in the session of its last run where that was cut off, else it starts anew;
    /// either is a new paid run. One that waits for its handler's next try has that at once. To run the handler of a job
    /// that is over see [`retry_handler`](Self::retry_handler).
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchJob`](crate::error::Error::NoSuchJob), [`Error::WrongState`](crate::error::Error::WrongState) for a job that is running or claimable already,
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn retry(&self, id: JobId) -> Result<Job> {
        let job = self.engine.retry(id, self.now()).await?;
        self.wakes.wake_all();
        Ok(job)
    }

    /// Runs a job's handler once more, with the stored answer of claude, which is not asked again: for a job that was
    /// `discarded` because its handler failed, which has one more try each time, or for one that is over otherwise, whose
    /// handler has `max_handler_attempts` tries.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchJob`](crate::error::Error::NoSuchJob), [`Error::WrongState`](crate::error::Error::WrongState) for a job that is running or for which no answer is stored (its worker
    /// has no handler, or claude has never ended), [`Error::Database`](crate::error::Error::Database).
    pub async fn retry_handler(&self, id: JobId) -> Result<Job> {
        let job = self.engine.retry_handler(id, self.now()).await?;
        self.wakes.wake_all();
        Ok(job)
    }

    /// Makes jobs claimable again that were cancelled or discarded for a reason of this kind, as
    /// [`retry`](Self::retry) does: all of them, or those that ended within this time. Answers with their ids, the
    /// newest first; an `Err` beside an id is why that job was left as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn retry_where(
        &self,
        kind: FailureKind,
        within: Option<Duration>,
    ) -> Result<Vec<(JobId, Result<()>)>> {
        let mut retried = Vec::new();
        for job in self.ended_with(kind, within).await? {
            retried.push((job.id, self.engine.retry(job.id, self.now()).await.map(drop)));
        }
        self.wakes.wake_all();
        Ok(retried)
    }

    /// The jobs that [`retry_where`](Self::retry_where) would make claimable again, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn ended_with(&self, kind: FailureKind, within: Option<Duration>) -> Result<Vec<Job>> {
        let since = within.map(|within| crate::clock::earlier(self.now(), within));
        let prefix = format!("{}:", kind.name());
        let mut found = Vec::new();
        for state in [State::Cancelled, State::Discarded] {
            let mut filter = Filter { state: Some(state), limit: PAGE, ..Filter::default() };
            loop {
                let page = self.engine.jobs(&filter).await?;
                let is_last = page.len() < PAGE as usize;
                filter.before = page.last().map(|job| job.id);
                found.extend(page.into_iter().filter(|job| {
                    let is_recent = since.is_none_or(|since| job.finished_at.is_some_and(|at| at >= since));
                    is_recent && job.reason.as_deref().is_some_and(|reason| reason.starts_with(&prefix))
                }));
                if is_last {
                    break;
                }
            }
        }
        found.sort_by_key(|job| std::cmp::Reverse(job.id));
        Ok(found)
    }
}
