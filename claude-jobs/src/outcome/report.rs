//! [`Report`]: what was seen of one claude process, folded from its events as they came.
//!
//! Bounded: it keeps the few events that decide, not the stream. So a run that is stopped half-way
//! still leaves what was known by then.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::Tokens;

/// What was seen of one claude process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The session, from the first event that names it (or pinned before the start).
    pub session_id: Option<String>,
    /// The model, from the start event.
    pub model: Option<String>,
    /// The CLI's version, from the start event.
    pub cli_version: Option<String>,
    /// Whether the start event came. It precedes the first request to the API.
    pub started: bool,
    /// Whether anything came back from the API: an answer, a part of one, the use of a tool.
    pub worked: bool,
    /// The last `result` event.
    pub result: Option<Value>,
    /// Whether work went on after it: a background task has ended, say, and claude takes note of that.
    pub went_on: bool,
    /// How many background tasks are under way.
    pub background_tasks: usize,
    /// The last assistant event that stands for an API error.
    pub api_error: Option<Value>,
    /// The last rate-limit event that says `rejected`.
    pub rate_limit: Option<Value>,
    /// The last text of the assistant, for runs whose result carries none.
    pub last_text: Option<String>,
    /// What the results so far say that this run cost, summed.
    pub cost_usd: Option<f64>,
    /// Tokens that the results so far say, summed.
    pub tokens: Option<Tokens>,
    /// How many events came.
    pub events: u64,
    /// The last of them, each in a few words.
    pub last_events: VecDeque<String>,
    /// The variables for unattended runs that were in effect; empty for other runners than the CLI's.
    pub environment: BTreeMap<String, String>,
    /// How the process ended.
    pub ending: Ending,
    /// The end of what it wrote to standard error.
    pub stderr: String,
}

/// How a claude process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that we did not send; which one, where it is known.
    Signalled(Option<i32>),
    /// By us.
    Stopped(StopReason),
    /// It never started.
    NotStarted(NotStarted),
    /// The pipes to it failed.
    Failed(String),
    /// It printed more than is accepted.
    OutputLimit(String),
    /// A custom runner's own error.
    Custom(String),
    /// Unseen: the node that ran it died.
    Lost,
}

/// Why we stop a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The wall-clock limit passed.
    Timeout,
    /// It was silent for too long.
    IdleTimeout,
    /// Somebody cancelled the job.
    Cancel,
    /// The runtime is shutting down.
    Shutdown,
}

/// Why a process could not be started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotStarted {
    /// The executable does not exist.
    BinaryMissing(String),
    /// The executable cannot be run.
    BinaryNotRunnable(String),
    /// The working directory does not exist, or is none.
    WorkingDirMissing(String),
    /// The options do not fit on a command line.
    TooLong(String),
    /// The system refused.
    Refused(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exit {code}"),
            Self::Signalled(Some(signal)) => write!(formatter, "signal {signal}"),
            Self::Signalled(None) => formatter.write_str("signal"),
            Self::Stopped(StopReason::Timeout) => formatter.write_str("stopped: timeout"),
            Self::Stopped(StopReason::IdleTimeout) => formatter.write_str("stopped: idle timeout"),
            Self::Stopped(StopReason::Cancel) => formatter.write_str("stopped: cancel"),
            Self::Stopped(StopReason::Shutdown) => formatter.write_str("stopped: shutdown"),
            Self::NotStarted(_) => formatter.write_str("not started"),
            Self::Failed(_) => formatter.write_str("failed"),
            Self::OutputLimit(_) => formatter.write_str("stopped: output limit"),
            Self::Lost => formatter.write_str("lost"),
            Self::Custom(_) => formatter.write_str("custom"),
        }
    }
}

impl Report {
    /// A report of nothing seen yet, for a run under this session.
    pub fn new(session_id: Option<String>) -> Self {
        Self {
            session_id,
            model: None,
            cli_version: None,
            started: false,
            worked: false,
            result: None,
            went_on: false,
            background_tasks: 0,
            api_error: None,
            rate_limit: None,
            last_text: None,
            cost_usd: None,
            tokens: None,
            events: 0,
            last_events: VecDeque::new(),
            environment: BTreeMap::new(),
            ending: Ending::Exited(0),
            stderr: String::new(),
        }
    }

    /// A report of a run that printed these events and exited with `code`.
    pub fn from_events<'event>(events: impl IntoIterator<Item = &'event Value>, code: i32) -> Self {
        let mut report = Self::new(None);
        events.into_iter().for_each(|event| report.observe(event));
        report.ending = Ending::Exited(code);
        report
    }

    /// Takes in one event of the stream.
    pub fn observe(&mut self, event: &Value) {
        self.events += 1;
        if self.last_events.len() == LAST_EVENTS {
            self.last_events.pop_front();
        }
        self.last_events.push_back(brief(event));
        if let Some(id) = text(event, "session_id") {
            self.session_id = Some(id.to_owned());
        }
        let (kind, subtype) = (text(event, "type"), text(event, "subtype"));
        self.went_on |= self.result.is_some()
            && (matches!(kind, Some("assistant" | "user"))
                || (kind == Some("system") && matches!(subtype, Some("init" | "task_notification"))));
        match kind {
            Some("system") if subtype == Some("background_tasks_changed") => {
                self.background_tasks = event["tasks"].as_array().map_or(0, Vec::len);
            }
            Some("system") if subtype == Some("init") => {
                self.started = true;
                self.model = text(event, "model").map(str::to_owned);
                self.cli_version = text(event, "claude_code_version").map(str::to_owned);
            }
            Some("assistant") => self.observe_assistant(event),
            Some("rate_limit_event")
                if event.pointer("/rate_limit_info/status").and_then(Value::as_str) == Some("rejected") =>
            {
                self.rate_limit = Some(event["rate_limit_info"].clone());
            }
            Some("result") => self.observe_result(event),
            _ => {}
        }
    }

    fn observe_assistant(&mut self, event: &Value) {
        if event["is_api_error_message"] == true || event.get("error").is_some_and(Value::is_string) {
            self.api_error = Some(event.clone());
            return;
        }
        self.worked = true;
        let blocks = event.pointer("/message/content").and_then(Value::as_array);
        for block in blocks.into_iter().flatten() {
            if let Some(text) = text(block, "text") {
                self.last_text = Some(text.to_owned());
            }
        }
    }

    /// Several results may come (background tasks, agents). The last one decides status and text;
    /// cost and tokens add up, because each says what came since the one before.
    fn observe_result(&mut self, event: &Value) {
        let usage = event.get("model_usage_since_last_result").and_then(Value::as_object);
        match usage {
            Some(models) => {
                let sum =
                    |field: &str| models.values().filter_map(|model| model[field].as_u64()).sum::<u64>();
                let cost: f64 = models.values().filter_map(|model| model["costUSD"].as_f64()).sum();
                *self.cost_usd.get_or_insert(0.0) += cost;
                let tokens = self.tokens.get_or_insert_default();
                tokens.input += sum("inputTokens");
                tokens.output += sum("outputTokens");
                tokens.cache_read += sum("cacheReadInputTokens");
                tokens.cache_creation += sum("cacheCreationInputTokens");
            }
            // Older CLIs give only the session's running total.
            None => {
                self.cost_usd = event["total_cost_usd"].as_f64();
                self.tokens = event.get("usage").filter(|usage| usage.is_object()).map(|usage| Tokens {
                    input: usage["input_tokens"].as_u64().unwrap_or(0),
                    output: usage["output_tokens"].as_u64().unwrap_or(0),
                    cache_read: usage["cache_read_input_tokens"].as_u64().unwrap_or(0),
                    cache_creation: usage["cache_creation_input_tokens"].as_u64().unwrap_or(0),
                });
            }
        }
        self.result = Some(event.clone());
        self.went_on = false;
    }

    /// Whether the work is done, as far as can be seen: there is a result, nothing has been done since, and nothing is
    /// under way. What the process still does is its own affair.
    pub fn is_done(&self) -> bool {
        self.result.is_some() && !self.went_on && self.background_tasks == 0
    }
}

/// How many events a report remembers in a few words.
const LAST_EVENTS: usize = 10;

/// An event in a few words: its type, the tools it names, the start of its text.
fn brief(event: &Value) -> String {
    const MOST: usize = 120;
    let kind = [text(event, "type"), text(event, "subtype")];
    let mut words = kind.into_iter().flatten().collect::<Vec<_>>().join("/");
    let blocks = event.pointer("/message/content").and_then(Value::as_array);
    for block in blocks.into_iter().flatten() {
        let parts = [text(block, "type"), text(block, "name"), text(block, "text")];
        for part in parts.into_iter().flatten() {
            words.push(' ');
            words.extend(part.chars().take(MOST).map(|it| if it.is_control() { ' ' } else { it }));
        }
    }
    words
}

pub(super) fn text<'event>(event: &'event Value, field: &str) -> Option<&'event str> {
    event.get(field).and_then(Value::as_str)
}
