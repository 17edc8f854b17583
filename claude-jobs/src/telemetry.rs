//! What a program tells those who watch it: `tracing` spans and log events, the trace that a job belongs to,
//! and metrics. Their names and fields are stable: the tables [`SPANS`], [`EVENTS`] and [`METRICS`] list them,
//! and a test holds the tables to what is emitted.
//!
//! # Spans
//!
//! ```text
//! job.insert ─┬─ job.run (attempt 1) ─┬─ claude.run
//!             │                       ├─ job.settle
//!             │                       └─ job.insert of a follow-on job …
//!             └─ job.run (attempt 2) …
//! ```
//!
//! A claim takes many jobs in one round trip, so `job.claim` stands beside the traces of the jobs. Where nobody
//! listens, a span costs the look at one atomic number.
//!
//! # The trace of a job
//!
//! A job carries a W3C trace context: given with [`JobBuilder::trace_parent`](crate::JobBuilder::trace_parent),
//! or taken from the span in which it is inserted. Each attempt is a span of that trace, in whatever process it
//! runs; the jobs that its handler [enqueues](crate::Ctx::enqueue) are its children; and the CLI gets
//! `TRACEPARENT` (and `TRACESTATE`), so that what it does goes on from there. `claude-jobs enqueue` and
//! `claude-jobs run` read the same variables. What stands in a row and is no trace context is ignored, with a
//! warning.
//!
//! # OpenTelemetry
//!
//! Only the program knows which release of OpenTelemetry it uses, and they do not go together; so there is no
//! dependency on any, but a seam of two functions, [`Propagator`]. For `tracing-opentelemetry` it is:
//!
//! ```
//! use std::collections::HashMap;
//!
//! use claude_jobs::telemetry::{Propagator, TraceContext};
//! use opentelemetry::propagation::TextMapPropagator;
//! use opentelemetry_sdk::propagation::TraceContextPropagator;
//! use tracing_opentelemetry::OpenTelemetrySpanExt;
//!
//! struct OpenTelemetry;
//!
//! impl Propagator for OpenTelemetry {
//!     fn context(&self, span: &tracing::Span) -> Option<TraceContext> {
//!         let mut headers = HashMap::new();
//!         TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
//!         let context = TraceContext::new(headers.get("traceparent")?).ok()?;
//!         Some(context.with_state(headers.get("tracestate").map_or("", String::as_str)))
//!     }
//!
//!     fn set_parent(&self, span: &tracing::Span, parent: &TraceContext) {
//!         let mut headers = HashMap::from([("traceparent".to_owned(), parent.trace_parent())]);
//!         headers.extend(parent.trace_state().map(|state| ("tracestate".to_owned(), state.to_owned())));
//!         let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
//!     }
//! }
//!
//! claude_jobs::telemetry::set_propagator(OpenTelemetry);
//! ```
//!
//! # Metrics
//!
//! With the feature `metrics` they go to the recorder of the crate `metrics` that the program installs; the
//! feature `prometheus` brings one with an HTTP endpoint, `telemetry::prometheus::serve`, which is also
//! `claude-jobs work --metrics`. Labels are few: queues, workers, verdicts, kinds of failure; never jobs.
//!
//! # Contents
//!
//! Prompts, answers, what claude or a database says about them, reasons of verdicts: none of it is in spans,
//! log events or metrics, unless [`show_contents`] says so. The database keeps it all the same, for `jobs show`.

mod contents;
mod context;
mod inserting;
pub(crate) mod meter;
#[cfg(feature = "prometheus")]
pub mod prometheus;
pub(crate) mod spans;
mod tables;

pub(crate) use contents::{careful, content};
pub use contents::{contents_are_shown, show_contents};
pub use context::{InvalidTraceContext, Propagator, TraceContext, set_propagator};
pub(crate) use context::{TRACE_PARENT, TRACE_STATE, context_of, continued};
pub(crate) use inserting::Inserting;
#[cfg(feature = "metrics")]
pub use meter::describe_metrics;
pub use tables::{EVENTS, EventRow, METRICS, MetricKind, MetricRow, SPANS, SpanRow};
