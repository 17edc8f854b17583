//! Judging a run: the classifier, then the worker's handler.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::claude::Stop;
use crate::definition::Definition;
use crate::error::Result;
use crate::job::NewJob;
use crate::outcome::{Failure, FailureKind, Outcome, Run, StopReason};
use crate::panic::{catch_panic, panic_text, quietly};
use crate::registry::{Handled, LoadedWorker};
use crate::settlement::Cause;
use crate::verdict::Verdict;
use crate::worker::Ctx;

/// How long a handler may take once it is asked to end.
const HANDLER_GRACE: Duration = Duration::from_secs(10);

/// What classifier and handler have made of a run.
pub(super) struct Judged {
    pub(super) cause: Cause,
    pub(super) run: Run,
    pub(super) meta: Map<String, Value>,
    pub(super) follow_ons: Vec<Result<NewJob>>,
}

/// Asks the classifier, then the handler. User code may fail, panic, or not end when it is asked to. Where the answer is
/// stored the handler has another try; else the job is cancelled, because its run is paid for and its effects are done.
pub(super) async fn judged(
    definition: &'static Definition,
    worker: LoadedWorker,
    run: Run,
    is_stored: bool,
    mut cx: Ctx,
    stop: &Stop,
) -> Judged {
    let unchanged = cx.job().meta.clone();
    let mut asked = Box::pin(last_word(definition, &worker, &run, &mut cx));
    let said = tokio::select! {
        biased;
        said = catch_panic(asked.as_mut()) => Some(said),
        () = has_had_its_time(stop) => None,
    };
    // What a handler or a worker holds may panic when it is dropped.
    quietly(|| drop(asked));
    quietly(|| drop(worker));
    let cause = match said {
        Some(Ok((Ok(verdict), judged))) => {
            let (meta, follow_ons) = cx.into_parts();
            let run = judged.unwrap_or(run);
            return Judged { cause: Cause::Judged(verdict), run, meta, follow_ons };
        }
        Some(Ok((Err(error), _))) => {
            let problem = quietly(|| error.to_string());
            Cause::HandlerFailed(problem.unwrap_or_else(|| "its error panics when it is shown".to_owned()))
        }
        Some(Err(panic)) => Cause::HandlerFailed(format!("it panicked: {}", panic_text(panic))),
        None => unfinished(stop),
    };
    let cause = match cause {
        Cause::HandlerFailed(problem) if !is_stored => {
            Cause::Judged(Verdict::cancel(format!("handler: {problem}")))
        }
        Cause::HandlerInterrupted(why) if !is_stored => {
            Cause::Judged(Verdict::cancel(format!("handler: {why}")))
        }
        cause => cause,
    };
    Judged { cause, run, meta: unchanged, follow_ons: Vec::new() }
}

/// A handler that did not end when it was asked to.
fn unfinished(stop: &Stop) -> Cause {
    match stop.reason() {
        Some(StopReason::Cancel) => Cause::Cancelled,
        _ => Cause::HandlerInterrupted("the runtime shut down before its handler had ended"),
    }
}

/// The verdict, and the run as it is to be seen where its answer is not what the worker declares.
async fn last_word(
    definition: &Definition,
    worker: &LoadedWorker,
    run: &Run,
    cx: &mut Ctx,
) -> (Handled, Option<Run>) {
    let mut judged = None;
    if run.failure().is_none() {
        let verdict = (definition.classifier)(run);
        if verdict != Verdict::Complete {
            return (Ok(verdict), None);
        }
        match worker.handle_result(definition, run, cx) {
            Ok(handled) => return (handled.await, None),
            Err(problem) => {
                let failure = Failure::new(FailureKind::OutputMismatch, problem.to_string());
                judged = Some(Run { outcome: Outcome::Failure(failure), ..run.clone() });
            }
        }
    }
    let run = judged.as_ref().unwrap_or(run);
    let verdict = (definition.classifier)(run);
    let handled = match run.failure() {
        Some(failure) => worker.handle_error(verdict, failure, run, cx).await,
        None => Ok(verdict),
    };
    (handled, judged)
}

/// Resolves when whoever was asked to end has had its time for it.
async fn has_had_its_time(stop: &Stop) {
    stop.fired().await;
    tokio::select! {
        () = tokio::time::sleep(HANDLER_GRACE) => {}
        () = stop.hurried() => {}
    }
}
