//! Before a run: finding the worker, reading its fields, merging the options; and what becomes of a job for which that
//! cannot be done.

use std::sync::Arc;

use super::{Decision, Executor, Leash, Ran, not_asked};
use crate::definition::Definition;
use crate::job::Job;
use crate::merge::Layers;
use crate::options::Options;
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::registry::LoadedWorker;
use crate::settlement::{Cause, Policy};
use crate::untrusted::Values;
use crate::verdict::Verdict;

/// A job whose worker is found, whose fields are read and whose options are merged.
pub(crate) struct Prepared {
    pub(crate) definition: &'static Definition,
    pub(super) worker: LoadedWorker,
    pub(super) options: Box<Options>,
    /// Whether the job or its worker names the executable.
    pub(super) names_binary: bool,
}

/// A job that cannot run, and its worker where that could be read.
pub(crate) struct Unprepared {
    pub(crate) problem: String,
    pub(super) worker: Option<(&'static Definition, LoadedWorker)>,
}

impl Executor {
    /// Rows may be old or written by hand: everything is checked again.
    pub(crate) fn prepare(&self, job: &Job) -> Result<Prepared, Unprepared> {
        let unreadable = |problem| Unprepared { problem, worker: None };
        if let Some(damage) = &job.damage {
            return Err(unreadable(format!("damaged row: {damage}")));
        }
        let registration =
            self.known.registry.get(&job.worker).map_err(|error| unreadable(error.to_string()))?;
        let definition = registration.definition;
        let worker =
            registration.read(&job.input).map_err(|problem| unreadable(format!("input: {problem}")))?;
        let values =
            Values::of(definition, &worker).map_err(|problem| unreadable(format!("input: {problem}")))?;
        let layers = Layers::new(definition, &values, &job.args).over(&self.defaults);
        match layers.merge(definition, &values) {
            Ok(options) => {
                let names_binary = layers.get("binary").is_some();
                Ok(Prepared { definition, worker, options: Box::new(options), names_binary })
            }
            Err(problems) => {
                Err(Unprepared { problem: problems.to_string(), worker: Some((definition, worker)) })
            }
        }
    }

    /// A job that cannot run is cancelled at once; retrying would fail the same way. Its handler is told, where its
    /// fields could be read.
    pub(super) async fn unrunnable(&self, job: &Arc<Job>, unprepared: Unprepared, leash: &Leash) -> Decision {
        let Unprepared { problem, worker } = unprepared;
        let mut run = not_asked("");
        run.outcome = Outcome::Failure(Failure::new(FailureKind::InvalidArgs, problem.clone()));
        match worker {
            Some((definition, worker)) => {
                let ran = Ran::of(run, job);
                self.judged(job, definition, worker, ran, leash).await
            }
            None => {
                let cause = Cause::Judged(Verdict::cancel(format!("invalid_args: {problem}")));
                Decision::without_run(job, Policy::default(), cause, run)
            }
        }
    }
}
