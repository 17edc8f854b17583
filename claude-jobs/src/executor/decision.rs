//! [`Decision`]: an attempt that is over, on its way to a settlement.

use serde_json::{Map, Value};

use crate::claude::Problem;
use crate::definition::Definition;
use crate::error::Result;
use crate::job::{Job, NewJob};
use crate::options::Options;
use crate::outcome::{Ending, Failure, NotStarted, Outcome, Report, Run, judge};
use crate::runtime::gate::Met;
use crate::settlement::{Cause, Policy, Seen};
use crate::verdict::Verdict;

/// An attempt that is over: why, what was seen of it, and what goes with it.
pub(crate) struct Decision {
    pub(crate) policy: Policy,
    pub(crate) cause: Cause,
    pub(crate) seen: Seen,
    pub(crate) run: Run,
    pub(crate) meta: Map<String, Value>,
    pub(crate) follow_ons: Vec<Result<NewJob>>,
    /// What the run has met that is not the job's fault.
    pub(crate) met: Met,
}

impl Decision {
    /// Of an attempt that neither classifier nor handler has judged.
    pub(super) fn without_run(job: &Job, policy: Policy, cause: Cause, run: Run) -> Self {
        let (seen, meta) = (Seen::default(), job.meta.clone());
        Self { policy, cause, seen, run, meta, follow_ons: Vec::new(), met: Met::Nothing }
    }

    /// What classifier and handler have decided, where it came to that.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        match &self.cause {
            Cause::Judged(verdict) => Some(verdict),
            _ => None,
        }
    }
}

/// The attempt is over before claude was asked.
pub(super) fn without_run(job: &Job, definition: &'static Definition, cause: Cause) -> Decision {
    let seen = Seen { only_handler: true, ..Seen::default() };
    let decision = Decision::without_run(job, Policy::of(definition), cause, not_asked("it had answered"));
    Decision { seen, ..decision }
}

/// A run for which claude was not started.
pub(super) fn not_asked(why: &str) -> Run {
    let mut report = Report::new(None);
    report.ending = Ending::NotStarted(NotStarted::Refused(why.to_owned()));
    judge(report, &Options::default())
}

/// A run for which claude was not started because of this problem.
pub(super) fn not_asked_for(problem: &Problem) -> Run {
    let outcome = Outcome::Failure(Failure::new(problem.kind, problem.message.clone()));
    Run { outcome, ..not_asked(&problem.message) }
}
