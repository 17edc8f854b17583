//! Running claude for a job: in which session, and with what it is told and hears.

use std::sync::Arc;

use super::{Decision, Executor, Leash, continuation};
use crate::claude::Request;
use crate::job::{Job, Session};
use crate::notice::Notice;
use crate::options::Options;
use crate::outcome::Run;
use crate::run::perform;
use crate::settlement::{Cause, Policy, Seen};

impl Executor {
    /// Runs claude: in the session that the job continues, or in the one that it was to begin where an earlier attempt
    /// has begun that. Where the session to continue is out of reach it starts anew, if an attempt is left for that.
    ///
    /// Also answers whether it has started anew.
    pub(super) async fn run(
        &self,
        job: &Arc<Job>,
        options: Box<Options>,
        leash: &Leash,
    ) -> Result<(Run, bool), Box<Decision>> {
        let Some(session) = &job.continuation.session else {
            let begun = options.session_id.as_deref().filter(|_| job.attempt > 1);
            let going_on = begun
                .map(|id| continuation::of(&options, &Session::new(id), continuation::PROMPT.to_owned()));
            let run = self.run_once(job, options, leash).await;
            let run = match going_on {
                Some(options) if continuation::has_begun(&run) => {
                    continuation::added_up(run, self.run_once(job, Box::new(options), leash).await)
                }
                _ => run,
            };
            return Ok((run, false));
        };
        let prompt = session.prompt.clone().unwrap_or_else(|| continuation::PROMPT.to_owned());
        let continuation = continuation::of(&options, session, prompt);
        let continued = self.run_once(job, Box::new(continuation), leash).await;
        if !continuation::is_out_of_reach(&continued) {
            return Ok((continued, false));
        }
        if !continuation::may_start_anew(job) {
            let seen = Seen { anew: true, ..Seen::default() };
            let definition = self.known.registry.get(&job.worker).map(|registration| registration.definition);
            let policy = definition.map_or_else(|_| Policy::default(), Policy::of);
            let decision = Decision::without_run(job, policy, Cause::OutOfReach, continued);
            return Err(Box::new(Decision { seen, ..decision }));
        }
        tracing::warn!(
            job.id = %job.id,
            gen_ai.conversation.id = session.id,
            "the session of the interrupted attempt is not on this host: starting anew"
        );
        let anew = self.run_once(job, options, leash).await;
        Ok((continuation::started_anew(continued, anew), true))
    }

    pub(super) async fn run_once(&self, job: &Arc<Job>, options: Box<Options>, leash: &Leash) -> Run {
        let mut request = self.request(job, Request::on(options, leash.stop.clone(), leash.lease.clone()));
        let (notify, recorder, shown) = (self.notify.clone(), self.recorder.clone(), Arc::clone(job));
        let begun = self.begun.clone();
        request.observer = Some(Arc::new(move |event| {
            if let Some(begun) = &begun
                && event["type"] == "system"
                && event["subtype"] == "init"
            {
                // An error means that the runtime has ended.
                let _ = begun.send((shown.id, shown.attempt));
            }
            recorder.observe(&shown, event);
            notify.send(&Notice::Progress { job: &shown, event });
        }));
        let keeps_session = request.options.no_session_persistence != Some(true);
        let mut run = perform(&*self.claude, request, leash.trace.as_ref()).await;
        self.secrets.hide_in_run(&mut run);
        Run { keeps_session, session_host: Some(self.claude.session_host()), ..run }
    }

    pub(super) fn request(&self, job: &Job, mut request: Request) -> Request {
        request.worker = Some(job.worker.clone());
        request.session_id = Some(self.known.session_id(job));
        request.marker = Some(marker(job));
        request.access = self.engine.as_ref().map(|engine| engine.access()).unwrap_or_default();
        request.require_mcp =
            self.known.registry.get(&job.worker).is_ok_and(|worker| worker.definition.require_mcp);
        request.database_id = Some(self.known.database_id);
        request
    }
}

/// What the processes of a job's present run carry in their environment.
pub(crate) fn marker(job: &Job) -> String {
    format!("{}.{}", job.id, job.attempt)
}
