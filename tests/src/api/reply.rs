//! What the stand-in answers to one message request: content, an error, or something broken.

use std::time::Duration;

use serde_json::{Value, json};

/// One answer of the stand-in.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) body: Body,
    pub(super) headers: Vec<(String, String)>,
    pub(super) delay: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Message(Message),
    Error { status: u16, body: String },
    Broken(Broken),
}

/// A message of the model: one content block, the reason why it stopped, and its cost in tokens.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub block: Value,
    pub stop_reason: &'static str,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

/// The ways in which a stream can go wrong.
#[derive(Debug, Clone)]
pub(super) enum Broken {
    /// 200 with a body that is no stream of events.
    NotAStream(String),
    /// An `error` event in the middle of the stream; an HTTP error for the CLI's second, unstreamed try.
    ErrorEvent { status: u16, kind: String, message: String },
    /// The connection is closed in the middle of the stream.
    Dropped,
    /// Headers never come.
    Silent,
}

impl Reply {
    /// The model says this and stops.
    pub fn text(text: &str) -> Reply {
        Reply::message(json!({ "type": "text", "text": text }), "end_turn")
    }

    /// The model calls a tool; the CLI runs it and asks again.
    pub fn tool(name: &str, input: Value) -> Reply {
        let block = json!({ "type": "tool_use", "name": name, "input": input });
        Reply::message(block, "tool_use")
    }

    /// The model hands in the answer to `--json-schema`, for which the CLI offers the tool
    /// `StructuredOutput`. A valid one ends the run; an invalid one is sent back to the model.
    pub fn structured(output: Value) -> Reply {
        Reply::tool("StructuredOutput", output)
    }

    /// The model stops in the middle because its output is full.
    pub fn cut_short(text: &str) -> Reply {
        Reply::message(json!({ "type": "text", "text": text }), "max_tokens")
    }

    /// The model declines to answer.
    pub fn refusal() -> Reply {
        Reply::message(json!({ "type": "text", "text": "" }), "refusal")
    }

    /// An HTTP error in the API's usual form.
    pub fn error(status: u16, kind: &str, message: &str) -> Reply {
        Reply::of(Body::Error { status, body: error_body(kind, message) })
    }

    /// An HTTP error with a body that is not the API's, as a proxy sends it.
    pub fn html_error(status: u16) -> Reply {
        Reply::of(Body::Error { status, body: "<html><body>Bad Gateway</body></html>".into() })
    }

    /// 401: the key is not valid.
    pub fn invalid_key() -> Reply {
        Reply::error(401, "authentication_error", "invalid x-api-key")
    }

    /// 429 without a time: too many requests.
    pub fn rate_limit() -> Reply {
        let message = "This request would exceed your account's rate limit. Please try again later.";
        Reply::error(429, "rate_limit_error", message)
    }

    /// 429: the subscription's five-hour limit is used up until this time (seconds since 1970).
    ///
    /// The CLI believes it only when it runs with an OAuth token; then it prints
    /// `usage_limit_reached` and `resetsAt`.
    pub fn usage_limit(reset_epoch: u64) -> Reply {
        Reply::rate_limit()
            .header("anthropic-ratelimit-unified-status", "rejected")
            .header("anthropic-ratelimit-unified-reset", &reset_epoch.to_string())
            .header("anthropic-ratelimit-unified-representative-claim", "five_hour")
    }

    /// 529: the API is overloaded.
    pub fn overloaded() -> Reply {
        Reply::error(529, "overloaded_error", "Overloaded")
    }

    /// 404: there is no such model.
    pub fn unknown_model(model: &str) -> Reply {
        Reply::error(404, "not_found_error", &format!("model: {model}"))
    }

    /// 200 with this body, which is no stream of events.
    pub fn not_a_stream(body: &str) -> Reply {
        Reply::of(Body::Broken(Broken::NotAStream(body.into())))
    }

    /// A stream that begins well and then carries an `error` event; asked again without streaming, as
    /// the CLI does, the API answers with the same error and this status.
    pub fn error_event(status: u16, kind: &str, message: &str) -> Reply {
        Reply::of(Body::Broken(Broken::ErrorEvent { status, kind: kind.into(), message: message.into() }))
    }

    /// A stream that begins well and then breaks off.
    pub fn dropped() -> Reply {
        Reply::of(Body::Broken(Broken::Dropped))
    }

    /// No answer at all, for as long as the stand-in lives.
    pub fn hang() -> Reply {
        Reply::of(Body::Broken(Broken::Silent))
    }

    /// The same with a response header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same, after a delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// The same with these token counts, from which the CLI computes the cost. Only for messages.
    #[must_use]
    pub fn tokens(mut self, input: u64, output: u64) -> Reply {
        if let Body::Message(message) = &mut self.body {
            message.input_tokens = input;
            message.output_tokens = output;
        }
        self
    }

    fn message(block: Value, stop_reason: &'static str) -> Reply {
        Reply::of(Body::Message(Message { block, stop_reason, input_tokens: 10, output_tokens: 20 }))
    }

    fn of(body: Body) -> Reply {
        Reply { body, headers: Vec::new(), delay: Duration::ZERO }
    }
}

/// The API's usual form of an error.
pub(super) fn error_body(kind: &str, message: &str) -> String {
    json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string()
}
