//! Attempts whose node died: what is known of them, and what becomes of their jobs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Decision, Executor, continuation};
use crate::claude::Request;
use crate::job::{Job, Session};
use crate::options::Options;
use crate::outcome::{Ending, FailureKind, Report, Run, judge};
use crate::settlement::{Cause, LOST, Policy, Seen, Settlement};

impl Executor {
    /// What becomes of a job whose node died, by this policy. `host`: where that node has kept its sessions, where
    /// that is known; `answer`: what claude has answered in this attempt, where that was stored.
    pub(crate) fn lost(
        &self,
        job: &Job,
        policy: Policy,
        host: Option<String>,
        answer: Option<Run>,
    ) -> Settlement {
        let only_handler = job.continuation.answered;
        let has_answered = only_handler || answer.is_some();
        let session = if has_answered { None } else { self.session_of(job) };
        let mut report = Report::new(session.clone());
        report.ending = Ending::Lost;
        let run = answer.unwrap_or_else(|| judge(report, &Options::default()));
        // By default it had begun: only where its transcript would be it can be known that it had not.
        let is_here = host.as_deref() == Some(&*self.claude.session_host());
        let has_begun = job.begun == job.attempt
            || !is_here
            || session.as_deref().is_none_or(|session| self.claude.has_session(session) != Some(false));
        let prompt = job.continuation.session.as_ref().and_then(|session| session.prompt.as_deref());
        // Whether it was asked by then nobody knows.
        let prompt = prompt.filter(|_| job.begun != job.attempt).map(continuation::asked_again);
        let continues = |id: String| Session { host: host.clone(), prompt, ..Session::new(id) };
        let seen = Seen {
            begun: has_begun && !has_answered,
            worked: has_begun,
            failed: Some(FailureKind::Lost),
            session: session.map(continues),
            only_handler,
            anew: false,
        };
        let cause = match has_answered {
            true => Cause::HandlerFailed(LOST.to_owned()),
            false => Cause::Interrupted(LOST.to_owned()),
        };
        let decision = Decision::without_run(job, policy, cause, run);
        self.settlement(job, Decision { seen, ..decision })
    }

    /// The session that an attempt was started in. Where that was to continue another, it may have been started anew
    /// instead; nobody knows, and the next attempt will find out. None where none is kept.
    fn session_of(&self, job: &Job) -> Option<String> {
        if let Some(session) = job.continuation.session.as_ref().filter(|session| !session.fork) {
            return Some(session.id.clone());
        }
        // What reads the job's fields is user code: one that panics must not keep the others from being rescued.
        match catch_unwind(AssertUnwindSafe(|| self.prepare(job))) {
            Ok(Ok(prepared)) if prepared.options.no_session_persistence == Some(true) => None,
            Ok(Ok(prepared)) => {
                self.request(job, Request::new(prepared.options)).pinned_session().map(str::to_owned)
            }
            Ok(Err(_)) | Err(_) => Some(self.known.session_id(job)),
        }
    }
}
