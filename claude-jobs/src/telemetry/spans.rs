//! The spans, as [`SPANS`](super::SPANS) lists them. All that knows a span's fields is here.

use tracing::field::{Empty, display};
use tracing::{Span, debug_span, info_span};

use super::contents_are_shown;
use crate::claude::Request;
use crate::engine::Turn;
use crate::job::{Inserted, Job, JobId};
use crate::outcome::Run;
use crate::settlement::Settlement;

const SYSTEM: &str = "claude_jobs";

/// Around the writing of jobs.
pub(crate) fn insert() -> Span {
    info_span!(
        target: "claude_jobs",
        "job.insert",
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.type = "send",
        messaging.batch.message_count = Empty,
        messaging.destination.name = Empty,
        job.id = Empty,
        job.worker = Empty,
        job.duplicate = Empty,
    )
}

/// What became of the jobs; none where they were not written.
pub(crate) fn inserted(span: &Span, written: Option<&[Inserted]>) {
    if span.is_disabled() {
        return;
    }
    let Some(written) = written else {
        span.record("otel.status_code", "ERROR");
        return;
    };
    span.record("messaging.batch.message_count", written.len());
    let Some(Inserted { job: first, duplicate, .. }) = written.first() else { return };
    if written.iter().all(|one| one.job.queue == first.queue) {
        span.record("messaging.destination.name", first.queue.as_str());
    }
    if written.iter().all(|one| one.job.worker == first.worker) {
        span.record("job.worker", first.worker.as_str());
    }
    if written.len() == 1 {
        span.record("job.id", first.id.0);
        span.record("job.duplicate", duplicate);
    }
}

/// What became of the job of a tick.
pub(crate) fn ticked(span: &Span, queue: &str, worker: &str, job: Option<JobId>, is_duplicate: bool) {
    span.record("messaging.batch.message_count", usize::from(job.is_some()));
    span.record("messaging.destination.name", queue);
    span.record("job.worker", worker);
    span.record("job.id", job.map(|id| id.0));
    span.record("job.duplicate", is_duplicate);
}

/// Around a turn, which settles and claims.
pub(crate) fn claim(queue: &str, node: impl FnOnce() -> String) -> Span {
    let span = debug_span!(
        target: "claude_jobs",
        "job.claim",
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.type = "receive",
        messaging.batch.message_count = Empty,
        messaging.destination.name = queue,
        job.node = Empty,
        job.settled = Empty,
    );
    if !span.is_disabled() {
        span.record("job.node", node());
    }
    span
}

/// What it came to.
pub(crate) fn claimed(span: &Span, turn: Option<&Turn>) {
    match turn {
        _ if span.is_disabled() => {}
        Some(turn) => {
            span.record("messaging.batch.message_count", turn.claimed.jobs.len());
            span.record("job.settled", turn.settled.len());
        }
        None => drop(span.record("otel.status_code", "ERROR")),
    }
}

/// Around an attempt.
pub(crate) fn run(job: &Job) -> Span {
    info_span!(
        target: "claude_jobs",
        "job.run",
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.type = "process",
        messaging.destination.name = job.queue,
        job.id = job.id.0,
        job.worker = job.worker,
        job.attempt = job.attempt,
        job.node = job.node,
        job.outcome = Empty,
        job.verdict = Empty,
        cost_usd = Empty,
        error.type = Empty,
        job.reason = Empty,
    )
}

/// What the attempt came to.
pub(crate) fn ran(span: &Span, settlement: &Settlement) {
    if span.is_disabled() {
        return;
    }
    let run = &settlement.run;
    span.record("job.outcome", run.outcome.as_str());
    span.record("job.verdict", run.verdict.as_str());
    span.record("cost_usd", run.cost_usd);
    tell_status(span, (run.outcome != "success").then_some(&run.outcome));
    if contents_are_shown() {
        span.record("job.reason", settlement.reason.as_deref());
    }
}

/// From the end of an attempt until it is written.
pub(crate) fn settle(run: &Span, job: &Job, settlement: &Settlement) -> Span {
    info_span!(
        target: "claude_jobs",
        parent: run,
        "job.settle",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.type = "settle",
        messaging.destination.name = job.queue,
        job.id = job.id.0,
        job.attempt = job.attempt,
        job.verdict = settlement.run.verdict,
        job.state = settlement.state.name(),
        job.superseded = Empty,
    )
}

/// What is written instead.
pub(crate) fn decided_anew(span: &Span, settlement: &Settlement) {
    span.record("job.verdict", settlement.run.verdict.as_str());
    span.record("job.state", settlement.state.name());
}

/// Whether it was written.
pub(crate) fn settled(span: &Span, is_ours: bool) {
    span.record("job.superseded", !is_ours);
    if !is_ours {
        span.record("otel.status_code", "ERROR");
    }
}

/// Around a run of claude.
pub(crate) fn claude(request: &Request) -> Span {
    let span = info_span!(
        target: "claude_jobs",
        "claude.run",
        otel.kind = "client",
        otel.status_code = Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.provider.name = "anthropic",
        gen_ai.agent.name = request.worker,
        gen_ai.request.model = request.options.model,
        gen_ai.response.model = Empty,
        gen_ai.conversation.id = Empty,
        gen_ai.usage.input_tokens = Empty,
        gen_ai.usage.cache_read.input_tokens = Empty,
        gen_ai.usage.cache_creation.input_tokens = Empty,
        gen_ai.usage.output_tokens = Empty,
        claude.version = Empty,
        claude.turns = Empty,
        claude.ending = Empty,
        cost_usd = Empty,
        error.type = Empty,
        claude.prompt = Empty,
        claude.result = Empty,
        claude.error = Empty,
    );
    if contents_are_shown() {
        span.record("claude.prompt", request.prompt());
    }
    span
}

/// What it came to.
pub(crate) fn claude_ran(span: &Span, run: &Run) {
    if span.is_disabled() {
        return;
    }
    span.record("gen_ai.response.model", run.model.as_deref());
    span.record("gen_ai.conversation.id", run.session_id.as_deref());
    if let Some(tokens) = run.tokens {
        // Theirs are all input tokens, ours those that the cache has nothing to do with.
        let input = tokens.input + tokens.cache_read + tokens.cache_creation;
        span.record("gen_ai.usage.input_tokens", input);
        span.record("gen_ai.usage.cache_read.input_tokens", tokens.cache_read);
        span.record("gen_ai.usage.cache_creation.input_tokens", tokens.cache_creation);
        span.record("gen_ai.usage.output_tokens", tokens.output);
    }
    span.record("claude.version", run.cli_version.as_deref());
    span.record("claude.turns", run.turns);
    span.record("claude.ending", display(&run.ending));
    span.record("cost_usd", run.cost_usd);
    tell_status(span, run.failure().map(|failure| failure.kind.name()));
    if contents_are_shown() {
        span.record("claude.result", run.text.as_deref());
        span.record("claude.error", run.failure().map(|failure| failure.message.as_str()));
    }
}

fn tell_status(span: &Span, failure: Option<impl AsRef<str>>) {
    span.record("otel.status_code", if failure.is_some() { "ERROR" } else { "OK" });
    span.record("error.type", failure.as_ref().map(AsRef::as_ref));
}
