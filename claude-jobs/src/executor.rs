//! One job, from claimed to settled.
//!
//! [`Executor::execute`] reads as the list of steps: prepare (find the worker, read its fields, merge the options), run
//! claude (and repair an answer that is not the worker's type), store the answer, judge it (classifier, then handler),
//! decide what becomes of the job. What a step cannot do becomes a verdict, never an error: the job is always settled.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{Instrument, Span};

use crate::app_state::AppState;
use crate::claude::{Claude, Lease, Stop};
use crate::definition::Definition;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::{Recorder, RunLog};
use crate::job::{Job, JobId};
use crate::known::Known;
use crate::notice::{Notice, Notify};
use crate::options::{ArgMap, Options};
use crate::outcome::{Ending, Failure, FailureKind, Fault, Outcome, Report, Run, StopReason, judge};
use crate::registry::LoadedWorker;
use crate::runtime::gate::{AccountChange, Gate, Met};
use crate::secrets::Secrets;
use crate::settlement::{Cause, Policy, Seen, Settlement, decide};
use crate::telemetry::{TraceContext, continued, meter, spans};
use crate::verdict::Verdict;
use crate::worker::Ctx;
use answers::Stored;
pub(crate) use decision::Decision;
use decision::{not_asked, not_asked_for, without_run};
use judging::Judged;
pub(crate) use preparing::{Prepared, Unprepared};
use repair::Repairing;
pub(crate) use running::marker;

mod answers;
mod continuation;
mod decision;
mod judging;
mod ledger;
mod lost;
mod preparing;
mod repair;
mod running;

/// What every job of a runtime is executed with.
#[derive(Clone)]
pub(crate) struct Executor {
    /// What can be computed without the database.
    pub(crate) known: Known,
    pub(crate) claude: Arc<dyn Claude>,
    /// The lowest layer of options.
    pub(crate) defaults: ArgMap,
    pub(crate) notify: Notify,
    /// Keeps what runs print.
    pub(crate) recorder: Recorder,
    /// What is kept of what claude says, in the ledger too.
    pub(crate) run_log: RunLog,
    /// Where answers are stored before a handler sees them. None in the test kit, which writes nothing.
    pub(crate) engine: Option<Arc<dyn Engine>>,
    /// Told of each attempt whose claude has started.
    pub(crate) begun: Option<mpsc::UnboundedSender<(JobId, u32)>>,
    /// Is told what runs meet that is no job's fault.
    pub(crate) gate: Arc<Gate>,
    /// Replaced in whatever claude says, before anybody else gets it.
    pub(crate) secrets: Arc<Secrets>,
    /// The application's values for handlers.
    pub(crate) state: AppState,
}

/// What ends a run before its time, and where it is in its job's trace.
#[derive(Default)]
pub(crate) struct Leash {
    pub(crate) stop: Stop,
    /// How long it may live: as long as the lease of the node that has claimed its job.
    pub(crate) lease: Lease,
    /// None until it starts, and where it belongs to no trace.
    pub(crate) trace: Option<TraceContext>,
}

/// A job whose attempt is over, with the settlement that is yet to be written.
pub(crate) struct Finished {
    pub(crate) job: Arc<Job>,
    pub(crate) settlement: Settlement,
    /// The span of its settling: over when it is written.
    pub(crate) settling: Span,
    /// What is to be written about the account before.
    pub(crate) account: Option<AccountChange>,
}

/// A run of claude, or one that an earlier attempt has left.
struct Ran {
    run: Run,
    /// The attempt in which claude has answered.
    attempt: u32,
    only_handler: bool,
    anew: bool,
}

impl Executor {
    /// One that only runs claude: it keeps nothing and tells nobody.
    pub(crate) fn of(known: Known, claude: Arc<dyn Claude>) -> Self {
        Self {
            known,
            claude,
            defaults: ArgMap::new(),
            notify: Notify::default(),
            recorder: Recorder::default(),
            run_log: RunLog::default(),
            engine: None,
            begun: None,
            gate: Arc::default(),
            secrets: Arc::default(),
            state: AppState::default(),
        }
    }

    /// The workers whose jobs can be run here.
    pub(crate) fn workers(&self) -> Vec<&'static str> {
        let workers = self.known.registry.definitions().filter(|worker| self.state.suits(worker));
        workers.map(|worker| worker.name).collect()
    }

    /// Executes a claimed job. What it came to is yet to be written.
    pub(crate) async fn execute(&self, job: Arc<Job>, leash: Leash) -> Finished {
        let running = meter::started(&job, || self.known.now());
        let recording = self.recorder.begin(&job);
        let span = spans::run(&job);
        let leash = Leash { trace: self.trace(&job, &span), ..leash };
        let (settlement, account) = self.attempt(&job, &leash).instrument(span.clone()).await;
        drop(recording);
        spans::ran(&span, &settlement);
        let settling = spans::settle(&span, &job, &settlement);
        drop(running);
        Finished { job, settlement, settling, account }
    }

    async fn attempt(&self, job: &Arc<Job>, leash: &Leash) -> (Settlement, Option<AccountChange>) {
        self.notify.send(&Notice::Started { job });
        let decision = match self.prepare(job) {
            Ok(prepared) => self.carry_out(job, prepared, leash).await,
            // Only the handler is left to run, and it needs no options.
            Err(Unprepared { worker: Some((definition, worker)), .. }) if job.continuation.answered => {
                self.handle_again(job, definition, worker, leash).await
            }
            Err(problem) => self.unrunnable(job, problem, leash).await,
        };
        let account = decision.met.change().cloned();
        (self.settlement(job, decision), account)
    }

    /// Where an attempt is in its job's trace.
    fn trace(&self, job: &Job, span: &Span) -> Option<TraceContext> {
        let stored = job.trace.as_ref().and_then(|text| match text.parse::<TraceContext>() {
            Ok(context) => Some(context),
            Err(problem) => {
                tracing::warn!(job.id = %job.id, %problem, "the stored trace context is none, and is ignored");
                None
            }
        });
        continued(span, stored.as_ref())
    }

    /// Runs claude, unless that has answered already, and decides what becomes of the job.
    pub(crate) async fn carry_out(&self, job: &Arc<Job>, prepared: Prepared, leash: &Leash) -> Decision {
        let Prepared { definition, worker, options, names_binary } = prepared;
        if job.continuation.answered {
            return self.handle_again(job, definition, worker, leash).await;
        }
        let ran = match self.gate.version_problem().filter(|_| !names_binary) {
            Some(problem) => Ran::of(not_asked_for(&problem), job),
            None => match self.ran(job, definition, options, leash).await {
                Ok(ran) if names_binary => ran,
                Ok(ran) => Ran { run: self.looked_into(ran.run).await, ..ran },
                Err(decision) => return *decision,
            },
        };
        let met = self.gate.met(job, &ran.run, names_binary, self.known.now());
        let decision = match &met {
            // What it has done by then must not be done again from the beginning.
            Met::Node(why) if ran.run.started => {
                let cause = Cause::Interrupted(format!("interrupted: {why}"));
                let seen = self.seen(&ran);
                Decision { seen, ..Decision::without_run(job, Policy::of(definition), cause, ran.run) }
            }
            Met::Node(why) | Met::Known(why, _) => {
                let cause = Cause::NotStarted(why.clone());
                Decision::without_run(job, Policy::of(definition), cause, ran.run)
            }
            Met::Nothing | Met::Account(_) | Met::Limit(..) => {
                self.judged(job, definition, worker, ran, leash).await
            }
        };
        Decision { cause: until_the_limit_is_over(decision.cause, &met), met, ..decision }
    }

    /// A CLI that dies before it has said anything may be broken: a file that is half written, a runtime or a library
    /// that is missing. Then it does not tell its version either, which is free to ask.
    async fn looked_into(&self, run: Run) -> Run {
        use FailureKind as Kind;
        let kind = run.failure().map(|failure| failure.kind);
        let may_be = matches!(kind, Some(Kind::CommandFailed | Kind::Killed | Kind::Crashed | Kind::Io));
        if run.started || !may_be {
            return run;
        }
        match self.claude.probe().await {
            // It would have said itself that it lacks git.
            Err(problem)
                if problem.kind.fault() == Some(Fault::Node) && problem.kind != Kind::GitUnusable =>
            {
                Run { outcome: Outcome::Failure(Failure::new(problem.kind, problem.message)), ..run }
            }
            _ => run,
        }
    }

    /// Claude has answered in an earlier attempt: only the handler runs.
    async fn handle_again(
        &self,
        job: &Arc<Job>,
        definition: &'static Definition,
        worker: LoadedWorker,
        leash: &Leash,
    ) -> Decision {
        match self.stored_answer(job, leash).await {
            Ok((attempt, run)) => {
                let ran = Ran { run, attempt, only_handler: true, anew: false };
                self.judged(job, definition, worker, ran, leash).await
            }
            Err(cause) => without_run(job, definition, cause),
        }
    }

    /// Runs claude: once, and where needed once more to repair its answer.
    async fn ran(
        &self,
        job: &Arc<Job>,
        definition: &'static Definition,
        options: Box<Options>,
        leash: &Leash,
    ) -> Result<Ran, Box<Decision>> {
        let repairing = Repairing::of(definition, &options);
        let (mut run, anew) = self.run(job, options, leash).await?;
        if let Some(repairing) = repairing {
            run = self.repaired(job, definition, repairing, run, leash).await;
        }
        Ok(Ran { run, attempt: job.attempt, only_handler: false, anew })
    }

    /// What was seen of a run that is over.
    fn seen(&self, ran: &Ran) -> Seen {
        let run = &ran.run;
        let session = run
            .session_id
            .as_ref()
            .filter(|_| run.keeps_session)
            .map(|id| crate::job::Session { host: run.session_host.clone(), ..crate::job::Session::new(id) });
        Seen {
            begun: run.started,
            worked: run.worked,
            failed: run.failure().map(|failure| failure.kind),
            session,
            only_handler: ran.only_handler,
            anew: ran.anew,
        }
    }

    /// Why an attempt is over whose claude has ended, where that does not take a classifier or a handler to say.
    async fn judged(
        &self,
        job: &Arc<Job>,
        definition: &'static Definition,
        worker: LoadedWorker,
        ran: Ran,
        leash: &Leash,
    ) -> Decision {
        let seen = self.seen(&ran);
        let policy = Policy::of(definition);
        let undecided = |cause, run| Decision {
            policy,
            cause,
            seen: seen.clone(),
            run,
            meta: job.meta.clone(),
            follow_ons: Vec::new(),
            met: Met::Nothing,
        };
        match ran.run.failure().map(|failure| failure.kind) {
            Some(FailureKind::Cancelled) => return undecided(Cause::Cancelled, ran.run),
            Some(FailureKind::Shutdown) => {
                return undecided(Cause::Interrupted(interruption(leash).to_owned()), ran.run);
            }
            _ => {}
        }
        let mut is_stored = ran.only_handler;
        if worker.is_handled() && !ran.only_handler {
            match self.store_answer(job, &ran.run, leash).await {
                Stored::Yes => is_stored = true,
                Stored::Refused => {}
                // Whoever has the job now, or takes it over, finds no answer, and goes on in the session.
                Stored::Gone => {
                    return undecided(Cause::Interrupted(interruption(leash).to_owned()), ran.run);
                }
            }
        }
        let cx = Ctx::new(Arc::clone(job), leash.stop.token().clone(), leash.trace.clone())
            .answered_in(ran.attempt)
            .with_state(self.state.clone());
        let Judged { cause, run, meta, follow_ons } =
            judging::judged(definition, worker, ran.run, is_stored, cx, &leash.stop).await;
        let failed = run.failure().map(|failure| failure.kind);
        Decision { policy, cause, seen: Seen { failed, ..seen }, run, meta, follow_ons, met: Met::Nothing }
    }

    /// A claimed job that shall not start here: it loses neither attempt nor place.
    pub(crate) fn give_back(&self, job: Arc<Job>) -> Finished {
        let cause = Cause::NotStarted("it had not started".to_owned());
        let settlement = self.settlement(
            &job,
            Decision::without_run(&job, Policy::default(), cause, not_asked("not started here")),
        );
        Finished { job, settlement, settling: Span::none(), account: None }
    }

    /// A job whose run has broken down in our own code: what it did is unknown, so it is not repeated.
    pub(crate) fn broken(&self, job: Arc<Job>, problem: &str) -> Finished {
        let mut report = Report::new(None);
        report.ending = Ending::Failed(problem.to_owned());
        let run = judge(report, &Options::default());
        let cause = Cause::Judged(Verdict::cancel(format!("internal error: {problem}")));
        let settlement = self.settlement(&job, Decision::without_run(&job, Policy::default(), cause, run));
        Finished { job, settlement, settling: Span::none(), account: None }
    }

    /// Tells that a settlement was written, or that the job had become another run's.
    pub(crate) fn settled(&self, job: &Job, settlement: &Settlement, is_ours: bool) {
        if !is_ours {
            let (id, attempt) = (job.id, job.attempt);
            tracing::warn!(job.id = %id, job.attempt = attempt, "superseded: nothing settled");
        }
        meter::settled(job, settlement, is_ours);
        self.notify.send(&Notice::Settled { job, settlement, is_ours });
    }

    /// The exact change of the row.
    pub(crate) fn settlement(&self, job: &Job, decision: Decision) -> Settlement {
        let now = self.known.now();
        let Decision { policy, mut cause, seen, run, meta, follow_ons, met: _ } = decision;
        let follow_ons = follow_ons.into_iter().collect::<Result<Vec<_>>>();
        let follow_ons = match follow_ons.and_then(|jobs| self.known.rows(jobs)) {
            Ok(rows) => rows,
            Err(error) => {
                let problem = match error {
                    Error::InvalidJob(problem) => problem,
                    other => other.to_string(),
                };
                cause = Cause::Judged(Verdict::cancel(format!("invalid follow-on job: {problem}")));
                Vec::new()
            }
        };
        let mut remains = ledger::remains(job, run, &seen, &cause, now);
        remains.meta = (meta != job.meta).then_some(meta);
        remains.follow_ons = follow_ons;
        let mut settlement = decide(job, &policy, &seen, cause, remains, now);
        let error = settlement.error.iter_mut().map(|error| &mut error.message);
        settlement.reason.iter_mut().chain(error).for_each(|text| *text = self.secrets.hide(text));
        if self.run_log != RunLog::Full {
            settlement.redact();
        }
        settlement.reason.iter_mut().for_each(ledger::bound);
        settlement.error.iter_mut().for_each(|error| ledger::bound(&mut error.message));
        settlement
    }
}

impl Ran {
    /// Of this attempt.
    fn of(run: Run, job: &Job) -> Self {
        Self { run, attempt: job.attempt, only_handler: false, anew: false }
    }
}

/// Why a run was stopped before its end.
fn interruption(leash: &Leash) -> &'static str {
    match leash.stop.reason() {
        Some(StopReason::LeaseLost) => "interrupted: the node lost its lease",
        None if leash.lease.is_over() => "interrupted: the node lost its lease",
        _ => "interrupted: the runtime shut down",
    }
}

/// A job that would run again, and has met a limit of the account, waits until the account may be tried again.
fn until_the_limit_is_over(cause: Cause, met: &Met) -> Cause {
    match (cause, met) {
        (
            Cause::Judged(Verdict::Retry { reason, .. } | Verdict::Snooze { reason, .. }),
            Met::Limit(until, _),
        ) => Cause::Judged(Verdict::snooze_until(*until, reason)),
        (cause, _) => cause,
    }
}
