//! [`Report`]: what was seen of one claude process, folded from its events as they came.
//!
//! Bounded: it keeps the few events that decide, not the stream. So a run that is stopped half-way
//! still leaves what was known by then.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use jiff::Timestamp;
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
    /// The last `result` event.
    pub result: Option<Value>,
    /// Whether work went on after it: a background task has ended, say, and claude takes note of that.
    pub went_on: bool,
    /// Whether claude was asked again after the result, because a background task has ended: another result is to come.
    pub was_asked_again: bool,
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
    /// Whether claude worked: it said something, used a tool, or was seen to write.
    pub worked: bool,
    /// How many tools were called.
    pub tools_used: u32,
    /// The tool calls under way: those whose answer has not come.
    pub under_way: Vec<ToolCall>,
    /// Whether an answer is being written, as far as partial messages tell.
    pub is_writing: bool,
    /// The tool that ran for longer than `tool_timeout`.
    pub overdue_tool: Option<String>,
    /// What the run lacked from its start, such as an MCP server that has failed; a sentence each.
    pub warnings: Vec<String>,
    /// What the Stop hook said when it last sent claude back to work.
    pub stop_hook: Option<String>,
    /// Whether that hook never let claude end, until the CLI gave up.
    pub is_stop_hook_endless: bool,
    /// The last event that says that the API failed and is to be asked again.
    pub api_retry: Option<Value>,
    /// Whether there is no git on the run's `PATH`, as far as the runner has looked: the CLI's words for that are those
    /// for a repository that it cannot use.
    pub lacks_git: bool,
    /// Lines of the CLI that could not be read.
    pub unreadable: u64,
    /// When the process had ended. Needed to read a time of day in a message.
    pub ended_at: Option<Timestamp>,
    /// How many events came, parts of messages not counted.
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

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCall {
    /// Tells the call from others of the run.
    pub id: String,
    /// The tool, such as `Bash`.
    pub name: String,
    /// Whether a sub-agent called it.
    pub is_inner: bool,
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
    /// A tool ran for too long.
    ToolTimeout,
    /// The CLI says that it is not logged in, or cannot pay: to try again is of no use.
    Refused,
    /// An MCP server is missing, and the worker requires it.
    McpUnavailable,
    /// What was to be seen before the run is seen: only within a runner.
    #[doc(hidden)]
    Rehearsed,
    /// Somebody cancelled the job.
    Cancel,
    /// The runtime is shutting down.
    Shutdown,
    /// Its node could not renew its lease: another may have the job soon.
    LeaseLost,
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
    /// The machine lacks what a process needs: descriptors, memory, disk, a folder that can be written.
    Environment(String),
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
            Self::Stopped(StopReason::ToolTimeout) => formatter.write_str("stopped: tool timeout"),
            Self::Stopped(StopReason::Refused) => formatter.write_str("stopped: refused by the API"),
            Self::Stopped(StopReason::McpUnavailable) => formatter.write_str("stopped: MCP server missing"),
            Self::Stopped(StopReason::Rehearsed) => formatter.write_str("stopped: rehearsed"),
            Self::Stopped(StopReason::Cancel) => formatter.write_str("stopped: cancel"),
            Self::Stopped(StopReason::Shutdown) => formatter.write_str("stopped: shutdown"),
            Self::Stopped(StopReason::LeaseLost) => formatter.write_str("stopped: lease lost"),
            Self::NotStarted(_) => formatter.write_str("not started"),
            Self::Failed(_) => formatter.write_str("failed"),
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
            result: None,
            went_on: false,
            was_asked_again: false,
            background_tasks: 0,
            api_error: None,
            rate_limit: None,
            last_text: None,
            cost_usd: None,
            tokens: None,
            worked: false,
            tools_used: 0,
            under_way: Vec::new(),
            is_writing: false,
            overdue_tool: None,
            warnings: Vec::new(),
            stop_hook: None,
            is_stop_hook_endless: false,
            api_retry: None,
            lacks_git: false,
            unreadable: 0,
            ended_at: None,
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
        if let Some(id) = text(event, "session_id").filter(|id| !id.is_empty()) {
            self.session_id = Some(id.to_owned());
        }
        if text(event, "type") == Some("stream_event") {
            return self.observe_part(event);
        }
        self.events += 1;
        if self.last_events.len() == LAST_EVENTS {
            self.last_events.pop_front();
        }
        self.last_events.push_back(brief(event));
        let (kind, subtype) = (text(event, "type"), text(event, "subtype"));
        self.went_on |= self.result.is_some()
            && (matches!(kind, Some("assistant" | "user"))
                || (kind == Some("system") && matches!(subtype, Some("init" | "task_notification"))));
        self.was_asked_again |= self.went_on && subtype == Some("task_notification");
        match kind {
            Some("system") => self.observe_system(event, subtype.unwrap_or_default()),
            Some("assistant") => self.observe_assistant(event),
            Some("user") => self.observe_user(event),
            Some("rate_limit_event")
                if event.pointer("/rate_limit_info/status").and_then(Value::as_str) == Some("rejected") =>
            {
                self.rate_limit = Some(event["rate_limit_info"].clone());
            }
            Some("result") => self.observe_result(event),
            _ => {}
        }
    }

    /// A part of a message, which tells that claude is at work. The whole message comes as an event of its own.
    fn observe_part(&mut self, event: &Value) {
        let is_inner = event["parent_tool_use_id"].is_string();
        match event.pointer("/event/type").and_then(Value::as_str) {
            Some("message_start") if !is_inner => {
                self.is_writing = true;
                // Claude is asked again when it has all answers, those included that were not printed.
                self.under_way.retain(|call| call.is_inner);
            }
            Some("message_stop") if !is_inner => self.is_writing = false,
            Some("content_block_start" | "content_block_delta") => self.worked = true,
            _ => {}
        }
    }

    fn observe_system(&mut self, event: &Value, subtype: &str) {
        match subtype {
            "init" => {
                self.started = true;
                self.model = text(event, "model").map(str::to_owned);
                self.cli_version = text(event, "claude_code_version").map(str::to_owned);
                for warning in missing_servers(event) {
                    if !self.warnings.contains(&warning) {
                        self.warnings.push(warning);
                    }
                }
            }
            "background_tasks_changed" => {
                self.background_tasks = event["tasks"].as_array().map_or(0, Vec::len);
            }
            "api_retry" => {
                self.is_writing = false;
                self.api_retry = Some(event.clone());
            }
            "informational" | "notification" => {
                let said = text(event, "content").or_else(|| text(event, "text")).unwrap_or_default();
                self.is_stop_hook_endless |= text(event, "key") == Some("stop-hook-block-cap")
                    || said.starts_with("A hook blocked the turn from ending");
            }
            _ => {}
        }
    }

    fn observe_assistant(&mut self, event: &Value) {
        if event["is_api_error_message"] == true || event.get("error").is_some_and(Value::is_string) {
            self.is_writing = false;
            self.api_error = Some(event.clone());
            return;
        }
        // A built-in command of the CLI answers in claude's name.
        self.worked |= event.pointer("/message/model").and_then(Value::as_str) != Some("<synthetic>");
        self.is_stop_hook_endless = false;
        let is_inner = event["parent_tool_use_id"].is_string();
        for block in blocks(event) {
            if let Some(text) = text(block, "text") {
                self.last_text = Some(text.to_owned());
            }
            if text(block, "type") == Some("tool_use") {
                let own = |field: &str| text(block, field).unwrap_or_default().to_owned();
                self.tools_used = self.tools_used.saturating_add(1);
                self.under_way.push(ToolCall { id: own("id"), name: own("name"), is_inner });
                let over = self.under_way.len().saturating_sub(MOST_UNDER_WAY);
                self.under_way.drain(..over);
            }
        }
    }

    fn observe_user(&mut self, event: &Value) {
        for block in blocks(event) {
            if text(block, "type") == Some("tool_result") {
                self.worked = true;
                let id = text(block, "tool_use_id");
                self.under_way.retain(|call| Some(call.id.as_str()) != id);
            }
            if let Some(said) = text(block, "text").and_then(|text| text.strip_prefix("Stop hook feedback:"))
            {
                self.stop_hook = Some(said.trim().to_owned());
            }
        }
    }

    /// Several results may come (background tasks, agents). The last one decides status and text;
    /// cost and tokens add up, because each says what came since the one before.
    fn observe_result(&mut self, event: &Value) {
        let usage = event.get("model_usage_since_last_result").and_then(Value::as_object);
        match usage {
            Some(models) => {
                let sum = |field: &str| {
                    let counts = models.values().filter_map(|model| whole(&model[field]));
                    counts.fold(0, u64::saturating_add)
                };
                let cost: f64 = models.values().filter_map(|model| number(&model["costUSD"])).sum();
                *self.cost_usd.get_or_insert(0.0) += cost;
                self.tokens.get_or_insert_default().add(Tokens {
                    input: sum("inputTokens"),
                    output: sum("outputTokens"),
                    cache_read: sum("cacheReadInputTokens"),
                    cache_creation: sum("cacheCreationInputTokens"),
                });
            }
            // Older CLIs give only the session's running total.
            None => {
                self.cost_usd = number(&event["total_cost_usd"]);
                self.tokens = event.get("usage").filter(|usage| usage.is_object()).map(|usage| Tokens {
                    input: whole(&usage["input_tokens"]).unwrap_or(0),
                    output: whole(&usage["output_tokens"]).unwrap_or(0),
                    cache_read: whole(&usage["cache_read_input_tokens"]).unwrap_or(0),
                    cache_creation: whole(&usage["cache_creation_input_tokens"]).unwrap_or(0),
                });
            }
        }
        self.under_way.clear();
        self.is_writing = false;
        self.result = Some(event.clone());
        (self.went_on, self.was_asked_again) = (false, false);
    }

    /// The last result, unless the run went on after it and did not come to an end: what came then is work that was
    /// begun. A word more before an end in order is none.
    pub(super) fn answer(&self) -> Option<&Value> {
        let is_at_rest = self.under_way.is_empty() && self.background_tasks == 0 && !self.is_writing;
        let has_ended = self.ending == Ending::Exited(0) && is_at_rest && !self.was_asked_again;
        self.result.as_ref().filter(|_| !self.went_on || has_ended)
    }

    /// Whether the work is done, as far as can be seen: there is a result, nothing has been done since, and nothing is
    /// under way. What the process still does is its own affair.
    pub fn is_done(&self) -> bool {
        self.result.is_some() && !self.went_on && self.background_tasks == 0
    }
}

/// How many events a report remembers in a few words.
const LAST_EVENTS: usize = 10;

/// More calls at once than any run makes; it bounds what an odd stream can fill.
const MOST_UNDER_WAY: usize = 1_000;

/// What is said of each MCP server that the run has not, by the start event.
pub(crate) fn missing_servers(init: &Value) -> impl Iterator<Item = String> {
    let servers = init["mcp_servers"].as_array().into_iter().flatten().take(50);
    servers.filter_map(|server| {
        let name: String = text(server, "name")?.chars().filter(|it| !it.is_control()).take(100).collect();
        match text(server, "status")? {
            "failed" => Some(format!("MCP server `{name}` failed to start")),
            "pending" => Some(format!("MCP server `{name}` did not answer in time")),
            "needs-auth" => Some(format!("MCP server `{name}` needs a login")),
            "connected" | "disabled" => None,
            other => {
                let other: String = other.chars().filter(|it| !it.is_control()).take(100).collect();
                Some(format!("MCP server `{name}` is not connected but `{other}`"))
            }
        }
    })
}

fn blocks(event: &Value) -> impl Iterator<Item = &Value> {
    event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten()
}

/// An amount, also where it is given as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(number).filter(|number| number.is_finite() && *number >= 0.0)
}

/// A count, also where it is given as a float or as text.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| number(value).map(|number| number as u64))
}

/// An event in a few words: its type, the tools it names, the start of its text.
fn brief(event: &Value) -> String {
    const MOST: usize = 120;
    let kind = [text(event, "type"), text(event, "subtype")];
    let mut words = kind.into_iter().flatten().collect::<Vec<_>>().join("/");
    for block in blocks(event) {
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
