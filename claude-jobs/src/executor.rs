//! One job, from claimed to settled.
//!
//! [`Executor::execute`] reads as the list of steps: prepare (find the worker, read its fields, merge
//! the options), run claude (and repair an answer that is not the worker's type), decide (classifier, then handler), work out the settlement, write it.
//! What a step cannot do becomes a verdict, never an error: the job is always settled.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::{Instrument, Span};

use crate::claude::{Claude, Lease, Problem, Request, Stop};
use crate::definition::Definition;
use crate::error::Result;
use crate::event::Recorder;
use crate::job::{AttemptError, Job, NewJob, RunRow};
use crate::known::Known;
use crate::merge::Layers;
use crate::notice::{Notice, Notify};
use crate::options::{ArgMap, Options};
use crate::outcome::{Ending, Failure, FailureKind, NotStarted, Outcome, Report, Run, StopReason, judge};
use crate::registry::LoadedWorker;
use crate::run::perform;
use crate::runtime::gate::{AccountChange, Gate, Met};
use crate::settlement::{LOST, Remains, Settlement};
use crate::telemetry::{TraceContext, continued, meter, spans};
use crate::untrusted::Values;
use crate::verdict::Verdict;
use crate::worker::Ctx;
use repair::Repairing;

mod continuation;
mod repair;

/// What every job of a runtime is executed with.
#[derive(Clone)]
pub(crate) struct Executor {
    /// What there is to know without a look at the database, which is others' affair.
    pub(crate) known: Known,
    pub(crate) claude: Arc<dyn Claude>,
    /// The lowest layer of options.
    pub(crate) defaults: ArgMap,
    pub(crate) notify: Notify,
    /// Keeps what runs print.
    pub(crate) recorder: Recorder,
    /// Is told what runs meet that is no job's fault.
    pub(crate) gate: Arc<Gate>,
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

/// A job whose worker is found, whose fields are read and whose options are merged.
pub(crate) struct Prepared {
    pub(crate) definition: &'static Definition,
    worker: LoadedWorker,
    options: Box<Options>,
    /// Whether the job or its worker names the executable.
    names_binary: bool,
}

/// A job whose run is over, and what shall become of it.
pub(crate) struct Finished {
    pub(crate) job: Arc<Job>,
    pub(crate) settlement: Settlement,
    /// The span of its settling: over when it is written.
    pub(crate) settling: Span,
    /// What is to be written about the account before.
    pub(crate) account: Option<AccountChange>,
}

/// What shall become of a job, and what goes with it.
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) run: Run,
    meta: Map<String, Value>,
    follow_ons: Vec<Result<NewJob>>,
    /// What the run has met that is not the job's fault.
    pub(crate) met: Met,
}

impl Executor {
    /// Executes a claimed job. What it came to is yet to be written.
    pub(crate) async fn execute(&self, job: Arc<Job>, leash: Leash) -> Finished {
        let running = meter::started(&job, || self.known.now());
        let span = spans::run(&job);
        let leash = Leash { trace: self.trace(&job, &span), ..leash };
        let (settlement, account) = self.attempt(&job, &leash).instrument(span.clone()).await;
        self.recorder.end(&job);
        spans::ran(&span, &settlement);
        let settling = spans::settle(&span, &job, &settlement);
        drop(running);
        Finished { job, settlement, settling, account }
    }

    async fn attempt(&self, job: &Arc<Job>, leash: &Leash) -> (Settlement, Option<AccountChange>) {
        self.notify.send(&Notice::Started { job });
        match self.prepare(job) {
            Ok(prepared) => {
                let definition = prepared.definition;
                let decision = self.carry_out(job, prepared, leash).await;
                let account = decision.met.change().cloned();
                (self.settlement(job, definition, decision), account)
            }
            Err(problem) => (self.unrunnable(job, problem), None),
        }
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

    /// Runs claude, and decides what becomes of the job.
    pub(crate) async fn carry_out(&self, job: &Arc<Job>, prepared: Prepared, leash: &Leash) -> Decision {
        let Prepared { definition, worker, options, names_binary } = prepared;
        if let Some(problem) = self.gate.version_problem().filter(|_| !names_binary) {
            let run = not_run_for(&problem);
            let met = self.gate.met(job, &run, names_binary, self.known.now());
            return Decision::without_a_handler(Verdict::cancel(problem.to_string()), run, job, met);
        }
        let repairing = Repairing::of(definition, &options);
        let mut run = self.run(job, options, leash).await;
        if let Some(repairing) = repairing {
            run = self.repaired(job, definition, repairing, run, leash).await;
        }
        let met = self.gate.met(job, &run, names_binary, self.known.now());
        if let Met::Node(_) | Met::Known(..) = met {
            return Decision::without_a_handler((definition.classifier)(&run), run, job, met);
        }
        Decision { met, ..decide(definition, worker, run, job, leash).await }
    }

    /// A claimed job that shall not start here: it loses neither attempt nor place.
    pub(crate) fn give_back(&self, job: Arc<Job>) -> Finished {
        let now = self.known.now();
        let mut run = not_run(StopReason::Shutdown);
        run.ending = Ending::NotStarted(NotStarted::Refused("not started here".to_owned()));
        run.cost_usd = Some(0.0);
        let mut remains = Remains::of(ledger_row(&job, run, &Verdict::Complete, now));
        remains.run.verdict = "give back".to_owned();
        let settlement = Settlement::given_back("it had not started", &job, remains, now);
        Finished { job, settlement, settling: Span::none(), account: None }
    }

    /// A job whose run has broken down in our own code: what it did is unknown, so it is not repeated.
    pub(crate) fn broken(&self, job: Arc<Job>, problem: &str) -> Finished {
        let now = self.known.now();
        let mut run = not_run(StopReason::Cancel);
        run.ending = Ending::Failed(problem.to_owned());
        let verdict = Verdict::cancel(format!("internal error: {problem}"));
        let remains = Remains::of(ledger_row(&job, run, &verdict, now));
        let settlement = Settlement::of(&verdict, &job, crate::settlement::backoff, remains, now);
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

    /// Rows may be old or written by hand: everything is checked again.
    pub(crate) fn prepare(&self, job: &Job) -> Result<Prepared, String> {
        if let Some(damage) = &job.damage {
            return Err(format!("damaged row: {damage}"));
        }
        let registration = self.known.registry.get(&job.worker).map_err(|error| error.to_string())?;
        let definition = registration.definition;
        let worker = registration.read(&job.input).map_err(|problem| format!("input: {problem}"))?;
        let values = Values::of(definition, &worker).map_err(|problem| format!("input: {problem}"))?;
        let layers = Layers::new(definition, &values, &job.args).over(&self.defaults);
        let options = layers.merge(definition, &values).map_err(|problems| problems.to_string())?;
        let names_binary = layers.get("binary").is_some();
        Ok(Prepared { definition, worker, options: Box::new(options), names_binary })
    }

    /// Runs claude; a second time, from the start, where the session to continue is not at hand, or in the session that
    /// it was to begin, where an earlier attempt has begun it.
    async fn run(&self, job: &Arc<Job>, options: Box<Options>, leash: &Leash) -> Run {
        let Some(session) = &job.resume else {
            let begun = options.session_id.as_deref().filter(|_| job.attempt > 1);
            let going_on =
                begun.map(|session| continuation::of(&options, session, continuation::PROMPT.to_owned()));
            let run = self.run_once(job, options, leash).await;
            return match going_on {
                Some(options) if continuation::has_begun(&run) => {
                    continuation::added_up(run, self.run_once(job, Box::new(options), leash).await)
                }
                _ => run,
            };
        };
        let continuation = continuation::of(&options, session, continuation::PROMPT.to_owned());
        let continued = self.run_once(job, Box::new(continuation), leash).await;
        if !continuation::is_out_of_reach(&continued) {
            return continued;
        }
        tracing::warn!(
            job.id = %job.id,
            gen_ai.conversation.id = session,
            "the session of the lost run is not on this machine: starting anew"
        );
        let anew = self.run_once(job, options, leash).await;
        continuation::added_up(continued, anew)
    }

    async fn run_once(&self, job: &Arc<Job>, options: Box<Options>, leash: &Leash) -> Run {
        let mut request = self.request(job, Request::on(options, leash.stop.clone(), leash.lease.clone()));
        let (notify, recorder, shown) = (self.notify.clone(), self.recorder.clone(), Arc::clone(job));
        request.observer = Some(Arc::new(move |event| {
            recorder.observe(&shown, event);
            notify.send(&Notice::Progress { job: &shown, event });
        }));
        perform(&*self.claude, request, leash.trace.as_ref()).await
    }

    fn request(&self, job: &Job, mut request: Request) -> Request {
        request.worker = Some(job.worker.clone());
        request.session_id = Some(self.known.session_id(job));
        request.marker = Some(marker(job));
        request.database_id = Some(self.known.database_id);
        request
    }

    /// The exact change of the row of a job whose node died, by its worker's policy.
    ///
    /// The session is the one that the run was started in. Where that was to continue another, it may have
    /// been started anew instead; nobody knows, and the next attempt will find out.
    pub(crate) fn lost(&self, job: &Job, definition: &Definition) -> Settlement {
        let now = self.known.now();
        let own = || self.known.session_id(job);
        // What reads the job's fields is user code: one that panics must not keep the others from being rescued.
        let asked = || match catch_unwind(AssertUnwindSafe(|| self.prepare(job))) {
            Ok(Ok(prepared)) => {
                self.request(job, Request::new(prepared.options)).pinned_session().map(str::to_owned)
            }
            Ok(Err(_)) | Err(_) => Some(own()),
        };
        let session = job.resume.clone().or_else(asked);
        let mut report = Report::new(session.clone());
        report.ending = Ending::Lost;
        let run = judge(report, &Options::default());
        let verdict = Verdict::retry(LOST);
        let error = attempt_error(job, &run, &verdict, now);
        let mut remains = Remains::of(ledger_row(job, run, &verdict, now));
        remains.run.verdict = definition.on_lost.name().to_owned();
        remains.error = error;
        Settlement::lost(definition.on_lost, session, job, remains, now)
    }

    /// The exact change of the row.
    pub(crate) fn settlement(&self, job: &Job, definition: &Definition, decision: Decision) -> Settlement {
        let now = self.known.now();
        let Decision { mut verdict, run, meta, follow_ons, met } = decision;
        let follow_ons = follow_ons.into_iter().collect::<Result<Vec<_>>>();
        let follow_ons = match follow_ons.and_then(|jobs| self.known.rows(jobs)) {
            Ok(rows) => rows,
            Err(error) => {
                verdict = Verdict::cancel(format!("invalid follow-on job: {error}"));
                Vec::new()
            }
        };
        let error = attempt_error(job, &run, &verdict, now);
        let is_shutdown = failed_as(&run, FailureKind::Shutdown);
        let mut remains = Remains::of(ledger_row(job, run, &verdict, now));
        remains.error = error;
        remains.meta = (meta != job.meta).then_some(meta);
        // Nor is the job charged for what the machine or the account lacks.
        if let Met::Node(why) | Met::Known(why, _) = &met {
            remains.run.verdict = "give back".to_owned();
            remains.error = None;
            return Settlement::given_back(why, job, remains, now);
        }
        // A shutdown is the node's affair: the job loses neither attempt nor place.
        if is_shutdown {
            remains.run.verdict = "give back".to_owned();
            return Settlement::given_back("the runtime shut down", job, remains, now);
        }
        remains.follow_ons = follow_ons;
        if let (Met::Limit(until, _), Verdict::Retry { reason, .. } | Verdict::Snooze { reason, .. }) =
            (&met, &verdict)
        {
            return Settlement::waits_for_account(reason, *until, job, remains);
        }
        Settlement::of(&verdict, job, definition.backoff, remains, now)
    }

    /// A job that cannot run is cancelled at once; retrying would fail the same way.
    fn unrunnable(&self, job: &Job, problem: String) -> Settlement {
        let now = self.known.now();
        let mut report = Report::new(None);
        report.ending = Ending::NotStarted(NotStarted::Refused(String::new()));
        let mut run = judge(report, &Options::default());
        run.outcome = Outcome::Failure(Failure::new(FailureKind::InvalidArgs, problem.clone()));
        let verdict = Verdict::cancel(format!("invalid_args: {problem}"));
        let error = attempt_error(job, &run, &verdict, now);
        let mut remains = Remains::of(ledger_row(job, run, &verdict, now));
        remains.error = error;
        Settlement::of(&verdict, job, crate::settlement::backoff, remains, now)
    }
}

impl Decision {
    /// One that no handler has a part in.
    fn without_a_handler(verdict: Verdict, run: Run, job: &Job, met: Met) -> Self {
        Self { verdict, run, meta: job.meta.clone(), follow_ons: Vec::new(), met }
    }
}

/// How long a handler may take once it is asked to end.
const HANDLER_GRACE: Duration = Duration::from_secs(10);

/// The classifier's verdict, then the handler's last word. User code may panic, or not end when it is asked to: that
/// cancels the job, because the run is paid for and its effects are done, so a blind re-run could only repeat them.
async fn decide(
    definition: &'static Definition,
    worker: LoadedWorker,
    run: Run,
    job: &Arc<Job>,
    leash: &Leash,
) -> Decision {
    let mut cx = Ctx::new(Arc::clone(job), leash.stop.token().clone(), leash.trace.clone());
    if failed_as(&run, FailureKind::Cancelled) || failed_as(&run, FailureKind::Shutdown) {
        let (meta, follow_ons) = cx.into_parts();
        return Decision {
            verdict: Verdict::cancel("cancelled on request"),
            run,
            meta,
            follow_ons,
            met: Met::Nothing,
        };
    }
    let said = tokio::select! {
        biased;
        said = catch_panic(last_word(definition, &worker, &run, &mut cx)) => {
            said.map_err(|panic| format!("the handler panicked: {}", panic_text(panic)))
        }
        () = has_had_its_time(&leash.stop) => {
            Err(format!("the handler did not end within {HANDLER_GRACE:?} of being asked to"))
        }
    };
    match said {
        Ok((verdict, judged)) => {
            let (meta, follow_ons) = cx.into_parts();
            Decision { verdict, run: judged.unwrap_or(run), meta, follow_ons, met: Met::Nothing }
        }
        Err(problem) => {
            let verdict = Verdict::cancel(problem);
            Decision::without_a_handler(verdict, run, job, Met::Nothing)
        }
    }
}

/// Resolves when whoever was asked to end has had its time for it.
async fn has_had_its_time(stop: &Stop) {
    stop.fired().await;
    tokio::select! {
        () = tokio::time::sleep(HANDLER_GRACE) => {}
        () = stop.hurried() => {}
    }
}

/// Awaits a future that may panic. Here and not in a task of its own: that would cost a change of threads.
async fn catch_panic<T>(future: impl Future<Output = T>) -> std::thread::Result<T> {
    let mut future = pin!(future);
    let poll = |context: &mut Context<'_>| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |polled| polled.map(Ok))
    };
    poll_fn(poll).await
}

/// The verdict, and the run as it is to be seen where its answer is not what the worker declares.
async fn last_word(
    definition: &Definition,
    worker: &LoadedWorker,
    run: &Run,
    cx: &mut Ctx,
) -> (Verdict, Option<Run>) {
    let mut judged = None;
    if run.failure().is_none() {
        match worker.handle_result(definition, run, cx) {
            Ok(verdict) => return (verdict.await, None),
            Err(problem) => {
                let outcome =
                    Outcome::Failure(Failure::new(FailureKind::OutputMismatch, problem.to_string()));
                judged = Some(Run { outcome, ..run.clone() });
            }
        }
    }
    let run = judged.as_ref().unwrap_or(run);
    let verdict = (definition.classifier)(run);
    let verdict = match run.failure() {
        Some(failure) => worker.handle_error(verdict, failure, cx).await,
        None => verdict,
    };
    (verdict, judged)
}

fn failed_as(run: &Run, kind: FailureKind) -> bool {
    run.failure().is_some_and(|failure| failure.kind == kind)
}

/// A run of which nothing was seen.
fn not_run(stopped: StopReason) -> Run {
    let mut report = Report::new(None);
    report.ending = Ending::Stopped(stopped);
    judge(report, &Options::default())
}

/// A run that was not started because of this problem.
fn not_run_for(problem: &Problem) -> Run {
    let mut report = Report::new(None);
    report.ending = Ending::NotStarted(NotStarted::Refused(problem.message.clone()));
    let run = judge(report, &Options::default());
    Run { outcome: Outcome::Failure(Failure::new(problem.kind, problem.message.clone())), ..run }
}

fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    let panic = AssertUnwindSafe(panic);
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

/// The ledger row, from a run that is not needed any more.
fn ledger_row(job: &Job, run: Run, verdict: &Verdict, now: Timestamp) -> RunRow {
    let ending = run.ending_text();
    RunRow {
        attempt: job.attempt,
        node: job.node.clone(),
        started_at: job.attempted_at.unwrap_or(now),
        finished_at: now,
        outcome: run.outcome_name().to_owned(),
        session_id: run.session_id,
        verdict: verdict.name().to_owned(),
        ending,
        cost_usd: run.cost_usd,
        turns: run.turns,
        tokens: run.tokens,
        model: run.model,
        cli_version: run.cli_version,
        result: run.text,
        structured: run.structured,
        last_events: run.last_events,
        environment: run.environment,
    }
}

/// What goes into the job's errors: the failure; or what the handler found wrong with a success.
fn attempt_error(job: &Job, run: &Run, verdict: &Verdict, now: Timestamp) -> Option<AttemptError> {
    let (kind, message) = match (run.failure(), verdict) {
        (Some(failure), _) => (failure.kind.name(), failure.message.clone()),
        (None, Verdict::Retry { reason, .. } | Verdict::Cancel { reason }) => ("handler", reason.clone()),
        (None, _) => return None,
    };
    Some(AttemptError { attempt: job.attempt, at: now, kind: kind.to_owned(), message })
}

/// What the processes of a job's present run carry in their environment.
pub(crate) fn marker(job: &Job) -> String {
    format!("{}.{}", job.id, job.attempt)
}
