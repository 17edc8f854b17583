//! Those who watch a program: a subscriber that keeps every span and log event, and a real OpenTelemetry.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use claude_jobs::telemetry::{Propagator, TraceContext, set_propagator};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// A span or a log event as it was emitted.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The span's name; `event` for a log event.
    pub name: &'static str,
    /// The module or target.
    pub target: &'static str,
    /// How important it is.
    pub level: tracing::Level,
    /// The fields that it can have.
    pub declared: Vec<&'static str>,
    /// Those that it has, with their values.
    pub fields: BTreeMap<&'static str, String>,
    /// The name of the span around it.
    pub parent: Option<&'static str>,
    /// Whether it is over.
    pub is_over: bool,
}

/// Keeps everything, whatever its level and wherever it comes from.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl Recorder {
    /// Listens to this whole process from now on.
    ///
    /// # Panics
    /// When somebody else does already.
    pub fn install() -> Recorder {
        let recorder = Recorder::default();
        tracing_subscriber::registry().with(recorder.clone()).init();
        recorder
    }

    /// What was seen.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// The spans of this name.
    pub fn spans(&self, name: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.name == name).collect()
    }

    /// Where this text occurs: in which fields of what.
    pub fn mentions(&self, text: &str) -> Vec<String> {
        let mut places = Vec::new();
        for seen in self.seen() {
            let fields = seen.fields.iter().filter(|(_, value)| value.contains(text));
            places.extend(fields.map(|(field, _)| format!("{} {}: {field}", seen.target, seen.name)));
        }
        places
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(
        &self,
        metadata: &'static Metadata<'static>,
        parent: Option<&'static str>,
        fields: Fields,
    ) -> usize {
        let seen = Seen {
            name: if metadata.is_span() { metadata.name() } else { "event" },
            target: metadata.target(),
            level: *metadata.level(),
            declared: metadata.fields().iter().map(|field| field.name()).collect(),
            fields: fields.0,
            parent,
            is_over: metadata.is_event(),
        };
        let mut all = self.lock();
        all.push(seen);
        all.len() - 1
    }
}

/// The number of a span among what was seen.
struct Number(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it is new");
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let number = self.note(attributes.metadata(), span.parent().map(|parent| parent.name()), fields);
        span.extensions_mut().insert(Number(number));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).expect("it is there");
        let mut fields = Fields::default();
        values.record(&mut fields);
        let number = span.extensions().get::<Number>().expect("it was noted").0;
        self.lock()[number].fields.extend(fields.0);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let parent = context.event_span(event).map(|span| span.name());
        self.note(event.metadata(), parent, fields);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("it is there");
        let number = span.extensions().get::<Number>().expect("it was noted").0;
        self.lock()[number].is_over = true;
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// The bridge to OpenTelemetry, as the documentation of `claude_jobs::telemetry` has it.
#[derive(Debug)]
pub struct OpenTelemetry;

impl Propagator for OpenTelemetry {
    fn context(&self, span: &Span) -> Option<TraceContext> {
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
        let context = TraceContext::new(headers.get("traceparent")?).ok()?;
        Some(context.with_state(headers.get("tracestate").map_or("", String::as_str)))
    }

    fn set_parent(&self, span: &Span, parent: &TraceContext) {
        let mut headers = HashMap::from([("traceparent".to_owned(), parent.trace_parent())]);
        headers.extend(parent.trace_state().map(|state| ("tracestate".to_owned(), state.to_owned())));
        let _ = span.set_parent(TraceContextPropagator::new().extract(&headers));
    }
}

/// A span as OpenTelemetry exports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Its name.
    pub name: String,
    /// Its trace.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
    /// Its parent; zeros where it has none.
    pub parent_id: String,
}

/// A real OpenTelemetry that keeps what it would export.
#[derive(Clone, Debug)]
pub struct Exporter {
    spans: InMemorySpanExporter,
    _provider: SdkTracerProvider,
}

impl Exporter {
    /// Connects this whole process from now on.
    ///
    /// # Panics
    /// When it is connected already.
    pub fn install() -> Exporter {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
        tracing_subscriber::registry().with(layer).init();
        assert!(set_propagator(OpenTelemetry), "the first one");
        Exporter { spans, _provider: provider }
    }

    /// The spans that are over.
    ///
    /// # Panics
    /// When they cannot be read, which would be a defect of OpenTelemetry's.
    pub fn spans(&self) -> Vec<Exported> {
        let spans = self.spans.get_finished_spans().expect("they are in memory");
        let exported = |span: opentelemetry_sdk::trace::SpanData| Exported {
            name: span.name.to_string(),
            trace_id: span.span_context.trace_id().to_string(),
            span_id: span.span_context.span_id().to_string(),
            parent_id: span.parent_span_id.to_string(),
        };
        spans.into_iter().map(exported).collect()
    }
}
