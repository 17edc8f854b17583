//! [`Progress`]: what a run's claude said or did, taken from the events that the CLI prints.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::RunLog;
use crate::job::Tokens;
use crate::outcome::{Report, missing_servers};
use crate::secrets::Secrets;

/// The most bytes of a text that a log keeps.
pub const MOST_OF_A_TEXT: usize = 8 * 1024;

/// The most bytes of a name: of a tool, a model, an error's kind.
const MOST_OF_A_NAME: usize = 200;

/// A secret may be so long. It is looked for this far beyond what is kept, so that none is kept in part.
const LONGEST_SECRET: usize = 4 * 1024;

/// Something that a run's claude said or did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Progress {
    /// Its session began; again where a run is repaired or started anew.
    Session {
        /// The session.
        session_id: Option<String>,
        /// The model that answers.
        model: Option<String>,
    },
    /// The agent said something.
    Text {
        /// What.
        text: Content,
        /// The tool call whose sub-agent it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
    },
    /// The agent called a tool.
    ToolCall {
        /// Tells the call from others of the run.
        id: String,
        /// The tool, such as `Bash`.
        name: String,
        /// Its input, as JSON.
        input: Content,
        /// The tool call whose sub-agent it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
    },
    /// A tool answered.
    ToolResult {
        /// The call.
        id: String,
        /// Whether it failed, or was not allowed.
        is_error: bool,
        /// What it answered.
        output: Content,
        /// The tool call whose sub-agent it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
    },
    /// The API failed, and the CLI waits before it asks again.
    ApiRetry {
        /// Which try failed, from 1.
        attempt: u64,
        /// How long it waits, in milliseconds.
        delay_ms: u64,
        /// The kind of the error, such as `overloaded`.
        error: Option<String>,
    },
    /// The API failed, and the CLI gave up.
    ApiError {
        /// The kind of the error, such as `server_error`.
        error: Option<String>,
        /// What the CLI says of it.
        text: Content,
    },
    /// An answer is there. Several may come: each has what was used since the one before (of CLIs that tell it
    /// only so, since the session began).
    Usage {
        /// In US dollars; `None` where it is unknown.
        cost_usd: Option<f64>,
        /// Tokens.
        tokens: Option<Tokens>,
        /// Turns of the agent.
        turns: Option<u32>,
        /// Whether the CLI calls its answer an error.
        is_error: bool,
    },
    /// The run lacks something from its start, such as an MCP server that has failed.
    Warning {
        /// What, in a sentence.
        text: String,
    },
    /// Events are not in the log.
    Missing {
        /// How many.
        events: u64,
        /// Why.
        why: Why,
    },
    /// Something that this release does not know.
    #[serde(other)]
    Unknown,
}

/// Why events are not in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The database was too slow, or away: too many events waited to be written.
    Slow,
    /// The log of the attempt is as long as a log may be. Nothing more follows.
    Full,
    /// The database refused them.
    Refused,
}

/// A text as a log keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Content {
    /// Its beginning; `None` where contents are [kept out](RunLog::Redacted).
    pub text: Option<String>,
    /// How many bytes were cut off its end, or kept out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl fmt::Display for Content {
    /// The text, and how much of it is missing.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.text, self.cut) {
            (Some(text), 0) => formatter.write_str(text),
            (Some(text), cut) => write!(formatter, "{text}… ({cut} bytes cut)"),
            (None, cut) => write!(formatter, "({cut} bytes, kept out)"),
        }
    }
}

/// Takes what is worth keeping from the events of an attempt.
pub(super) struct Reader<'a> {
    pub(super) keeps: RunLog,
    pub(super) secrets: &'a Secrets,
}

impl Reader<'_> {
    /// What an event of the CLI says, in order; nothing for most kinds.
    pub(super) fn read(&self, event: &Value) -> Vec<Progress> {
        let field = |name: &str| event[name].as_str();
        match (field("type"), field("subtype")) {
            (Some("system"), Some("init")) => {
                let (session_id, model) = (self.name(&event["session_id"]), self.name(&event["model"]));
                let warning = |text: String| Progress::Warning { text: self.kept(&text, MOST_OF_A_NAME).0 };
                let missing = missing_servers(event).map(warning);
                std::iter::once(Progress::Session { session_id, model }).chain(missing).collect()
            }
            (Some("system"), Some("api_retry")) => vec![Progress::ApiRetry {
                attempt: event["attempt"].as_u64().unwrap_or(0),
                delay_ms: event["retry_delay_ms"].as_f64().unwrap_or(0.0) as u64,
                error: self.name(&event["error"]),
            }],
            (Some("assistant"), _) => self.assistant(event),
            (Some("user"), _) => self.results(event),
            (Some("result"), _) => vec![usage(event)],
            _ => Vec::new(),
        }
    }

    fn assistant(&self, event: &Value) -> Vec<Progress> {
        let is_error = event["is_api_error_message"] == true || event["error"].is_string();
        let parent = self.name(&event["parent_tool_use_id"]);
        let read = |block: &Value| match block["type"].as_str()? {
            "text" if is_error => {
                let error = self.name(&event["error"]);
                Some(Progress::ApiError { error, text: self.content(block["text"].as_str()?) })
            }
            "text" => {
                Some(Progress::Text { text: self.content(block["text"].as_str()?), parent: parent.clone() })
            }
            "tool_use" => Some(Progress::ToolCall {
                id: self.name(&block["id"]).unwrap_or_default(),
                name: self.name(&block["name"]).unwrap_or_default(),
                input: self.json(&block["input"]),
                parent: parent.clone(),
            }),
            _ => None,
        };
        blocks(event).filter_map(read).collect()
    }

    fn results(&self, event: &Value) -> Vec<Progress> {
        let results = blocks(event).filter(|block| block["type"] == "tool_result");
        let read = |block: &Value| Progress::ToolResult {
            id: self.name(&block["tool_use_id"]).unwrap_or_default(),
            is_error: block["is_error"] == true,
            output: self.content(&output(&block["content"])),
            parent: self.name(&event["parent_tool_use_id"]),
        };
        results.map(read).collect()
    }

    fn content(&self, text: &str) -> Content {
        if self.keeps != RunLog::Full {
            return Content { text: None, cut: text.len() as u64 };
        }
        let (kept, cut) = self.kept(text, MOST_OF_A_TEXT);
        Content { text: Some(kept), cut }
    }

    /// Secrets are looked for before quotes and line breaks in them are escaped.
    fn json(&self, value: &Value) -> Content {
        if self.keeps != RunLog::Full {
            return self.content(&value.to_string());
        }
        let mut value = value.clone();
        self.secrets.hide_in(&mut value);
        self.content(&value.to_string())
    }

    fn name(&self, value: &Value) -> Option<String> {
        value.as_str().map(|text| self.kept(text, MOST_OF_A_NAME).0)
    }

    /// The beginning of a text without secrets, and how many bytes of the text are behind it.
    fn kept(&self, text: &str, most: usize) -> (String, u64) {
        let window = &text[..text.floor_char_boundary(most + LONGEST_SECRET)];
        let mut kept = self.secrets.hide(window);
        let end = if window.len() == text.len() {
            // All of it was looked at.
            most
        } else {
            // A secret that the window has cut in two is at its end.
            most.min(kept.len().saturating_sub(LONGEST_SECRET))
        };
        let end = kept.floor_char_boundary(end);
        let hidden = kept.len() - end + (text.len() - window.len());
        kept.truncate(end);
        (kept, hidden as u64)
    }
}

/// The part of a tool's input that says most.
#[cfg(feature = "cli")]
pub(crate) fn telling(input: &Value) -> Option<&str> {
    const TELLING: [&str; 8] =
        ["command", "file_path", "notebook_path", "path", "pattern", "url", "query", "description"];
    let telling = TELLING.iter().find_map(|field| input[field].as_str());
    telling.or_else(|| input.as_object()?.values().find_map(Value::as_str))
}

fn blocks(event: &Value) -> impl Iterator<Item = &Value> {
    event["message"]["content"].as_array().into_iter().flatten()
}

/// What a tool answered: a text, or parts of which texts are shown.
fn output(content: &Value) -> String {
    let part = |part: &Value| match part["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("[{}]", part["type"].as_str().unwrap_or("?")),
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// As the ledger counts it, for this result alone.
fn usage(event: &Value) -> Progress {
    let report = Report::from_events([event], 0);
    Progress::Usage {
        cost_usd: report.cost_usd,
        tokens: report.tokens,
        turns: event["num_turns"].as_u64().and_then(|turns| u32::try_from(turns).ok()),
        is_error: event["is_error"] == true,
    }
}
