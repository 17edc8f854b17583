//! [`TraceContext`]: a place in a distributed trace, as the W3C Trace Context writes it, and the
//! [`Propagator`] by which a program's own tracing reads and sets such places.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use tracing::Span;
use uuid::Uuid;

/// The most characters of a `tracestate` that are kept, and the most members.
const MOST_STATE: (usize, usize) = (512, 32);

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A place in a distributed trace: the trace, the span that is the parent of what comes next, and whether the
/// trace is sampled; a W3C `traceparent`, and a `tracestate` where there is one.
///
/// As text it is the `traceparent`, and behind a space the `tracestate`. So it is stored in the column
/// `trace` of a job, where a row written by hand may have one too.
///
/// ```
/// use claude_jobs::telemetry::TraceContext;
///
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = header.parse().unwrap();
/// assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
/// assert_eq!(context.parent_id(), "b7ad6b7169203331");
/// assert!(context.is_sampled());
/// assert_eq!(context.trace_parent(), header);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
    state: Option<Box<str>>,
}

/// Why a text is no [`TraceContext`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}: give a W3C traceparent such as `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`, and behind a \
     space a tracestate if there is one"
)]
pub struct InvalidTraceContext(&'static str);

impl TraceContext {
    /// Reads a `traceparent`.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Unknown versions are read as far as version 00 goes, as the W3C wants it.
    pub fn new(trace_parent: &str) -> Result<Self, InvalidTraceContext> {
        let wrong = |what| Err(InvalidTraceContext(what));
        let bytes = trace_parent.as_bytes();
        let has_more = bytes.len() > LENGTH;
        if bytes.len() < LENGTH || (has_more && (bytes[LENGTH] != b'-' || trace_parent.starts_with("00"))) {
            return wrong("a traceparent has 55 characters");
        }
        if [2, 35, 52].into_iter().any(|place| bytes[place] != b'-') {
            return wrong("a traceparent has four parts with `-` between them");
        }
        let digits = |from: usize, to: usize| hexadecimal(&bytes[from..to]);
        match (digits(0, 2), digits(3, 35), digits(36, 52), digits(53, 55)) {
            (Some(version), Some(trace_id), Some(parent_id), Some(flags)) => {
                if version == 0xff || trace_id == 0 || parent_id == 0 {
                    return wrong("version `ff` and ids of zeros are invalid");
                }
                // Only as many digits as fit were read.
                Ok(Self { trace_id, parent_id: parent_id as u64, flags: flags as u8, state: None })
            }
            _ => wrong("a traceparent has lower-case hexadecimal digits"),
        }
    }

    /// The same with this `tracestate`, unless it is one that nobody may pass on: empty, over 512 characters,
    /// over 32 members, no `key=value`, or not printable. Then there is none, as the W3C wants it.
    #[must_use]
    pub fn with_state(mut self, trace_state: &str) -> Self {
        let state = trace_state.trim();
        let members = state.split(',').filter(|member| !member.trim().is_empty());
        let is_valid = !state.is_empty()
            && state.len() <= MOST_STATE.0
            && state.bytes().all(|byte| (0x20..0x7f).contains(&byte))
            && members.clone().count() <= MOST_STATE.1
            && members.clone().all(|member| member.contains('='));
        self.state = is_valid.then(|| state.into());
        self
    }

    /// What this process was started with: the variables `TRACEPARENT` and `TRACESTATE`.
    ///
    /// # Errors
    ///
    /// What is wrong with `TRACEPARENT`; without one there is none.
    pub fn of_environment() -> Result<Option<Self>, InvalidTraceContext> {
        let Ok(trace_parent) = std::env::var(TRACE_PARENT) else { return Ok(None) };
        let context = Self::new(&trace_parent)?;
        Ok(Some(match std::env::var(TRACE_STATE) {
            Ok(state) => context.with_state(&state),
            Err(_) => context,
        }))
    }

    /// The `traceparent`.
    pub fn trace_parent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }

    /// The `tracestate`.
    pub fn trace_state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span that is the parent of what comes next: 16 hexadecimal digits.
    pub fn parent_id(&self) -> String {
        format!("{:016x}", self.parent_id)
    }

    /// Whether whoever began the trace records it.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// A new span of the same trace, for where nobody else makes one.
    pub(crate) fn child(&self) -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // The fixed bits of the one half are random in the other.
        Self { parent_id: (high ^ low.rotate_left(32)).max(1), ..self.clone() }
    }

    /// The variables by which a process is told its place.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let state = self.state.iter().map(|state| (TRACE_STATE.to_owned(), state.to_string()));
        std::iter::once((TRACE_PARENT.to_owned(), self.trace_parent())).chain(state)
    }
}

/// The variables by which a process is told its place in a trace.
pub(crate) const TRACE_PARENT: &str = "TRACEPARENT";
/// See [`TRACE_PARENT`].
pub(crate) const TRACE_STATE: &str = "TRACESTATE";

/// The number of these digits, lower-case only.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    /// A `traceparent`, and behind a space a `tracestate`.
    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        match text.split_once(' ') {
            Some((parent, state)) => Ok(Self::new(parent)?.with_state(state)),
            None => Self::new(text),
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.trace_parent())?;
        self.state.as_ref().map_or(Ok(()), |state| write!(formatter, " {state}"))
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TraceContext({self})")
    }
}

/// How a program's own tracing reads and sets places in traces: the bridge to OpenTelemetry, say. See the
/// [module](super#opentelemetry) for one.
pub trait Propagator: Send + Sync {
    /// Where this span is: a context whose parent is the span itself. None where the span belongs to no trace.
    fn context(&self, span: &Span) -> Option<TraceContext>;

    /// Makes the span a child of this parent, in its trace. Called before the span is entered.
    fn set_parent(&self, span: &Span, parent: &TraceContext);
}

static PROPAGATOR: OnceLock<Box<dyn Propagator>> = OnceLock::new();

/// Connects this process's tracing: from now on jobs continue the trace in which they are inserted, and each
/// run is a span of its job's trace. Once per process: of several the first stands, and `false` says so.
pub fn set_propagator(propagator: impl Propagator + 'static) -> bool {
    PROPAGATOR.set(Box::new(propagator)).is_ok()
}

/// The context of this span; where it is not recorded, of the span around it.
pub(crate) fn context_of(span: &Span) -> Option<TraceContext> {
    let propagator = PROPAGATOR.get()?;
    if span.is_disabled() { propagator.context(&Span::current()) } else { propagator.context(span) }
}

/// The context of a span that continues this one: as the program's tracing says, else a place of its own.
pub(crate) fn continued(span: &Span, parent: Option<&TraceContext>) -> Option<TraceContext> {
    let propagator = PROPAGATOR.get().filter(|_| !span.is_disabled());
    if let (Some(propagator), Some(parent)) = (propagator, parent) {
        propagator.set_parent(span, parent);
    }
    let recorded = propagator.and_then(|propagator| propagator.context(span));
    recorded.or_else(|| parent.map(TraceContext::child))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_valid_comes_back_as_it_was() {
        let valid = [
            PARENT,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 vendor=a,other=b",
        ];
        for text in valid {
            assert_eq!(text.parse::<TraceContext>().map(|context| context.to_string()).as_deref(), Ok(text));
        }
        let later = format!("cc{}-more", &PARENT[2..]);
        assert_eq!(later.parse::<TraceContext>().expect("a later version").trace_parent(), PARENT);
    }

    #[test]
    fn what_is_not_valid_says_why() {
        let upper = PARENT.to_uppercase();
        let invalid = [
            ("", "55 characters"),
            ("00-0af7", "55 characters"),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "55 characters"),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more", "55 characters"),
            ("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "four parts"),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "`ff`"),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", "zeros"),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "zeros"),
            ("00-0af7651916cd43dd8448eb211c8031.c-b7ad6b7169203331-01", "hexadecimal"),
            (&upper, "hexadecimal"),
            ("00-0af7651916cd43dd8448eb211c80319ä-b7ad6b716920333-01", "four parts"),
        ];
        for (text, why) in invalid {
            let error = text.parse::<TraceContext>().expect_err(text).to_string();
            assert!(error.contains(why) && error.contains("give a W3C traceparent"), "{text}: {error}");
        }
    }

    #[test]
    fn a_state_that_nobody_may_pass_on_is_left_out() {
        let state = |text: &str| {
            let context = TraceContext::new(PARENT).expect("it is valid").with_state(text);
            context.trace_state().map(str::to_owned)
        };
        assert_eq!(state("a=1, b=2").as_deref(), Some("a=1, b=2"));
        let long = format!("a={}", "x".repeat(511));
        let many = vec!["a=1"; 33].join(",");
        for invalid in ["", "  ", "novalue", "a=1\nb=2", "a=ä", &long, &many] {
            assert_eq!(state(invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let parent = TraceContext::new(PARENT).expect("it is valid").with_state("a=1");
        let (one, other) = (parent.child(), parent.child());
        assert_eq!((one.trace_id(), one.is_sampled()), (parent.trace_id(), true));
        assert_eq!(one.trace_state(), Some("a=1"));
        let ids = [parent.parent_id(), one.parent_id(), other.parent_id()];
        assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    }
}
