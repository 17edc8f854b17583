//! [`Played`]: what is seen of a scripted run, in the shape that the real CLI gives it.

use serde_json::{Value, json};

use super::answer::Details;
use crate::claude::Request;
use crate::job::Tokens;
use crate::outcome::{Ending, Report, StopReason};

/// What is seen of one run: what it printed, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) events: Vec<Value>,
    pub(super) ending: Ending,
    pub(super) stderr: String,
}

/// The model, where nobody asked for one.
const MODEL: &str = "scripted";

impl Played {
    /// Nothing is printed.
    pub(super) fn silent(ending: Ending) -> Self {
        Self { events: Vec::new(), ending, stderr: String::new() }
    }

    /// The CLI refuses to start: a text on standard error, exit code 1.
    pub(super) fn refused(stderr: String) -> Self {
        Self { stderr, ..Self::silent(Ending::Exited(1)) }
    }

    /// It starts, and then nothing is printed.
    pub(super) fn begun(ending: Ending) -> Self {
        let start = json!({
            "type": "system", "subtype": "init", "cwd": "/", "session_id": "", "model": MODEL,
            "claude_code_version": "scripted", "permissionMode": "default", "tools": [], "mcp_servers": [],
        });
        Self { events: vec![start], ..Self::silent(ending) }
    }

    /// It starts, an MCP server is missing, and it is ended for that.
    pub(super) fn without_mcp() -> Self {
        let mut played = Self::begun(Ending::Stopped(StopReason::McpUnavailable));
        let server = json!([{"name": "scripted", "status": "failed"}]);
        overlay(&mut played.events[0], json!({"mcp_servers": server}));
        played
    }

    /// It answers, and a Stop hook says this to each answer, until the CLI gives up.
    pub(super) fn hooked(said: String) -> Self {
        let mut played = Self::begun(Ending::Exited(0));
        let message = |role: &str, text: String| {
            let content = json!([{"type": "text", "text": text}]);
            json!({"type": role, "message": {"role": role, "content": content}, "session_id": ""})
        };
        played.events.extend([
            message("assistant", "Done.".to_owned()),
            message("user", format!("Stop hook feedback:\n{said}\n")),
            json!({
                "type": "system", "subtype": "informational", "session_id": "",
                "content": "A hook blocked the turn from ending 9 consecutive times",
            }),
        ]);
        played.with_result(json!({"result": "", "num_turns": 10}))
    }

    /// It starts, the assistant says this, and a result comes with these fields.
    pub(super) fn finished(content: Option<Vec<Value>>, result: Value) -> Self {
        let mut played = Self::begun(Ending::Exited(0));
        if let Some(content) = content {
            let message = json!({"role": "assistant", "type": "message", "model": MODEL, "content": content});
            played.events.push(json!({"type": "assistant", "message": message, "session_id": ""}));
        }
        played.with_result(result)
    }

    /// Its last event is a result with these fields.
    pub(super) fn with_result(mut self, fields: Value) -> Self {
        let mut event = json!({
            "type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "session_id": "",
            "terminal_reason": "completed", "total_cost_usd": 0.0, "permission_denials": [],
        });
        overlay(&mut event, fields);
        if event["is_error"] == true {
            self.ending = Ending::Exited(1);
        }
        self.events.push(event);
        self
    }

    /// Makes it speak of this run, and of what the answer says of it.
    pub(super) fn adjust(&mut self, details: &Details, request: &Request, is_recorded: bool) {
        let session = details.session.as_deref().or(request.pinned_session());
        let session = session.unwrap_or("5e551011-0000-4000-8000-000000000000");
        let model = details.model.as_deref().or(request.options.model.as_deref());
        let before_result = self.events.iter().position(|event| event["type"] == "result");
        let at = before_result.unwrap_or(self.events.len());
        self.events.splice(at..at, details.events.iter().cloned());
        for event in &mut self.events {
            if event.get("session_id").is_some() {
                event["session_id"] = json!(session);
            }
            let wanted = if is_recorded { details.model.as_deref() } else { model };
            if let Some(model) = wanted {
                rename_model(event, model);
            }
        }
        let results = self.events.iter_mut().filter(|event| event["type"] == "result");
        // Each result says what came since the one before: what is said of the whole is said by the last.
        for (index, result) in results.rev().enumerate() {
            set_usage(result, details, model.unwrap_or(MODEL), index == 0, is_recorded);
        }
        if let Some(code) = details.exit {
            self.ending = Ending::Exited(code);
        }
        if let Some(text) = &details.stderr {
            self.stderr.clone_from(text);
        }
    }

    /// What a runner reports of it. Each event is shown to whoever watches the request.
    pub(super) fn report(self, request: &Request) -> Report {
        let mut report = Report::new(request.pinned_session().map(str::to_owned));
        for event in &self.events {
            report.observe(event);
            if let Some(observer) = &request.observer {
                observer(event);
            }
        }
        report.ending = self.ending;
        report.stderr = self.stderr;
        report
    }
}

/// Puts these fields into the object.
pub(super) fn overlay(object: &mut Value, fields: Value) {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
}

fn rename_model(event: &mut Value, model: &str) {
    for place in ["/model", "/message/model"] {
        if let Some(name) = event.pointer_mut(place) {
            *name = json!(model);
        }
    }
}

fn set_usage(result: &mut Value, details: &Details, model: &str, is_last: bool, is_recorded: bool) {
    // A run that swallowed its prompt has taken no turn, whatever the test says.
    if is_last
        && result["num_turns"] != 0
        && let Some(turns) = details.turns
    {
        result["num_turns"] = json!(turns);
    }
    if is_recorded && details.cost_usd.is_none() && details.tokens.is_none() {
        return;
    }
    let before = Report::from_events([&*result], 0);
    let cost = match details.cost_usd {
        Some(cost) if is_last => cost,
        Some(_) => 0.0,
        None => before.cost_usd.unwrap_or(0.0),
    };
    let tokens = match details.tokens {
        Some(tokens) if is_last => tokens,
        Some(_) => Tokens::default(),
        None => before.tokens.unwrap_or_default(),
    };
    result["total_cost_usd"] = json!(cost);
    let usage = json!({model: {
        "costUSD": cost, "inputTokens": tokens.input, "outputTokens": tokens.output,
        "cacheReadInputTokens": tokens.cache_read, "cacheCreationInputTokens": tokens.cache_creation,
    }});
    result["modelUsage"] = usage.clone();
    result["model_usage_since_last_result"] = usage;
}
