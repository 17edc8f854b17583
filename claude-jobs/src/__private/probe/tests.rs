//! A worker's own handler is called, the default one otherwise: through the registration, as a
//! runtime does it.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::job::{Job, JobId};
use crate::outcome::{Ending, FailureKind, Outcome};
use crate::outcome::{Failure, Run};
use crate::verdict::Verdict;
use crate::worker::{Ctx, Result};
use crate::{args, claude_worker};

const BASE: crate::Args = args! { model = "opus" };

/// Handles both outcomes.
#[claude_worker(queue = "q", args = { max_turns = 3, ..BASE }, crate = crate)]
struct Handled {
    number: u64,
}

impl Handler for Handled {
    async fn handle_result(&self, output: String, _run: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.enqueue(Plain::new("go on"));
        Ok(Verdict::cancel(format!("{}: {output}", self.number)))
    }

    async fn handle_error(
        &self,
        _verdict: Verdict,
        failure: &Failure,
        _: &Run,
        _cx: &mut Ctx,
    ) -> Result<Verdict> {
        Ok(Verdict::cancel(failure.message.clone()))
    }
}

/// Handles results only.
#[claude_worker(queue = "q", crate = crate)]
struct HalfHandled;

impl Handler for HalfHandled {
    async fn handle_result(&self, _output: String, _run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        Ok(Verdict::cancel("half"))
    }
}

/// Handles nothing, and has no fields in braces.
#[claude_worker(queue = "q", crate = crate)]
struct Plain {}

fn load<W: Worker>(input: serde_json::Value) -> LoadedWorker {
    W::registration().read(&input).expect("the input fits")
}

fn context() -> Ctx {
    let job = Plain::new("x").into_new_job().expect("a job");
    let row = job
        .into_row(&Plain::DEFINITION, &crate::untrusted::Values::default(), crate::clock::timestamp(0))
        .expect("a valid job");
    Ctx::new(Arc::new(Job { attempt: 1, ..row.stored_as(JobId(1)) }), CancellationToken::new(), None)
}

fn run(text: &str) -> Run {
    Run {
        outcome: Outcome::Success,
        session_id: None,
        model: None,
        cli_version: None,
        text: Some(text.to_owned()),
        structured: None,
        last_events: Vec::new(),
        environment: Default::default(),
        repair: None,
        cost_usd: None,
        turns: None,
        tokens: None,
        denials: Vec::new(),
        started: true,
        worked: true,
        keeps_session: true,
        session_host: None,
        warnings: Vec::new(),
        ending: Ending::Exited(0),
    }
}

async fn result<W: Worker>(worker: &LoadedWorker, cx: &mut Ctx) -> Verdict {
    worker
        .handle_result(&W::DEFINITION, &run("done"), cx)
        .expect("any text will do")
        .await
        .expect("it does not fail")
}

#[tokio::test]
async fn a_handler_has_the_last_word() {
    let (worker, mut cx) = (load::<Handled>(json!({"number": 7})), context());
    assert_eq!(result::<Plain>(&worker, &mut cx).await, Verdict::cancel("7: done"));
    assert_eq!(cx.into_parts().1.len(), 1, "the follow-on is kept");

    let failure = Failure::new(FailureKind::Timeout, "too slow");
    let verdict =
        worker.handle_error(Verdict::Complete, &failure, &run(""), &mut context()).await.expect("a verdict");
    assert_eq!(verdict, Verdict::cancel("too slow"));
}

#[tokio::test]
async fn what_a_handler_leaves_out_is_the_default() {
    let worker = load::<HalfHandled>(json!(null));
    assert_eq!(result::<Plain>(&worker, &mut context()).await, Verdict::cancel("half"));

    let (proposed, failure) = (Verdict::retry("slow"), Failure::new(FailureKind::Timeout, "too slow"));
    let said = worker.handle_error(proposed.clone(), &failure, &run(""), &mut context()).await;
    assert_eq!(said.expect("a verdict"), proposed);
}

#[tokio::test]
async fn without_a_handler_the_proposed_verdict_stands() {
    for input in [json!(null), json!({}), json!({"number": 7})] {
        let worker = load::<Plain>(input);
        assert_eq!(result::<Plain>(&worker, &mut context()).await, Verdict::Complete);

        let (proposed, failure) = (Verdict::retry("slow"), Failure::new(FailureKind::Timeout, "too slow"));
        let said = worker.handle_error(proposed.clone(), &failure, &run(""), &mut context()).await;
        assert_eq!(said.expect("a verdict"), proposed);
    }
}
