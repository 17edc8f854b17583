//! What claude has answered, stored before a handler sees it.

use std::time::Duration;

use super::{Executor, Leash};
use crate::engine;
use crate::error::Result;
use crate::job::Job;
use crate::options::Options;
use crate::outcome::{Ending, Report, Run, judge};
use crate::registry::BoxFuture;
use crate::settlement::Cause;
use crate::telemetry::{careful, content, meter};
use crate::verdict::Verdict;

/// How long it waits after the database has failed: at first, and at the longest.
const AFTER_ERROR: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whether an answer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is: where the handler fails, only that runs again.
    Yes,
    /// The database refuses it: the handler has one try.
    Refused,
    /// The job is another run's by now, or the runtime has to end first.
    Gone,
}

impl Executor {
    /// Stores the answer of this attempt. A database that is away for a while must not lose it: it is tried until it
    /// succeeds.
    pub(super) async fn store_answer(&self, job: &Job, run: &Run, leash: &Leash) -> Stored {
        let Some(engine) = &self.engine else { return Stored::Yes };
        let answer = match serde_json::to_string(run) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(job.id = %job.id, %error, "an answer cannot be stored");
                return Stored::Refused;
            }
        };
        let stored = self.insist(leash, || engine.keep_answer(job.id, job.attempt, &answer));
        match stored.await {
            Some(Ok(true)) => Stored::Yes,
            Some(Ok(false)) | None => Stored::Gone,
            Some(Err(error)) => {
                tracing::error!(job.id = %job.id, error = content(&error), "the database refuses an answer");
                Stored::Refused
            }
        }
    }

    /// The stored answer that only waits for its handler, and the attempt that it came from; else why there is none.
    pub(super) async fn stored_answer(&self, job: &Job, leash: &Leash) -> Result<(u32, Run), Cause> {
        let stop = "the runtime shut down";
        let Some(engine) = &self.engine else { return Err(Cause::HandlerInterrupted(stop)) };
        let stored = self.insist(leash, || engine.answer(job.id)).await;
        let Some(stored) = stored else { return Err(Cause::HandlerInterrupted(stop)) };
        let stored = stored.unwrap_or_default();
        let gone = |why| Cause::Judged(Verdict::cancel(format!("handler: the stored answer {why}")));
        let (attempt, text) = stored.ok_or_else(|| gone("is gone"))?;
        let run = serde_json::from_str(&text).map_err(|_| gone("cannot be read"))?;
        Ok((attempt, run))
    }

    /// The answer of a lost attempt, where it was stored.
    pub(crate) async fn answer_of(&self, job: &Job) -> Result<Option<Run>> {
        let Some(engine) = &self.engine else { return Ok(None) };
        let stored = engine.answer(job.id).await?;
        let own = stored.filter(|(attempt, _)| *attempt == job.attempt);
        Ok(own.map(|(attempt, text)| {
            serde_json::from_str(&text).unwrap_or_else(|error| {
                // A node of another version may have stored it, and may read it.
                tracing::error!(job.id = %job.id, job.attempt = attempt, %error, "a stored answer cannot be read");
                let mut report = Report::new(None);
                report.ending = Ending::Lost;
                judge(report, &Options::default())
            })
        }))
    }

    /// Asks until the database answers, if only that it refuses. None: the run was hurried, or its lease ended first.
    async fn insist<'a, T>(
        &self,
        leash: &Leash,
        ask: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Option<Result<T>> {
        let mut wait = AFTER_ERROR.0;
        loop {
            match ask().await {
                Err(error) if !engine::is_forbidden(&error) => {
                    tracing::error!(error = %careful(&error), "cannot reach the answer of a job, will try again in {wait:?}");
                    meter::database_error("answer");
                }
                answer => return Some(answer),
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = leash.stop.hurried() => return None,
                () = leash.lease.ended() => return None,
            }
            wait = (wait * 2).min(AFTER_ERROR.1);
        }
    }
}
