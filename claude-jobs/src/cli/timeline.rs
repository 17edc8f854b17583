//! What happens to jobs, in a line each: for `tail` and `jobs show`.
//!
//! Whatever an agent or a tool has written is on one line without control characters: no terminal takes it for
//! a command, wherever the line goes.

use serde_json::Value;

use super::output::{self, one_line};
use crate::event::{Content, Ended, EventKind, Progress, Why, telling};

/// The most characters of a text.
const MOST: usize = 500;

/// What happened, without when and to whom.
pub(super) fn event(kind: &EventKind) -> String {
    match kind {
        EventKind::Started => "started".to_owned(),
        EventKind::Progress(progress) => self::progress(progress),
        other => match other.ended() {
            Some(ended) => format!("{} ({})", other.name(), took(ended)),
            None => other.name().to_owned(),
        },
    }
}

fn took(ended: &Ended) -> String {
    let turns = ended.turns.map(|turns| output::counted(turns.into(), "turn"));
    let cost =
        ended.cost_usd.map_or_else(|| "cost unknown".to_owned(), |dollars| output::cost(Some(dollars)));
    let outcome = (ended.outcome != "success").then(|| ended.outcome.clone());
    let parts = [outcome, turns, Some(cost), Some(output::duration(ended.duration))];
    one_line(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "), MOST)
}

/// What claude said or did.
pub(super) fn progress(progress: &Progress) -> String {
    let line = match progress {
        Progress::Session { session_id, model } => {
            let unknown = "unknown".to_owned();
            let session = session_id.as_ref().unwrap_or(&unknown);
            format!("session {session}, model {}", model.as_ref().unwrap_or(&unknown))
        }
        Progress::Text { text, parent } => format!("{}says: {}", inner(parent), shown(text)),
        Progress::ToolCall { name, input, parent, .. } => {
            format!("{}{name}: {}", inner(parent), shown_input(input))
        }
        Progress::ToolResult { is_error, output, parent, .. } => {
            let mark = if *is_error { "failed" } else { "answers" };
            format!("{}  {mark}: {}", inner(parent), shown(output))
        }
        Progress::ApiRetry { attempt, delay_ms, error } => {
            let error = error.as_deref().unwrap_or("the API failed");
            format!("{error}: try {attempt} failed, the next one in {delay_ms} ms")
        }
        Progress::ApiError { error, text } => {
            format!("{}: {}", error.as_deref().unwrap_or("the API failed"), shown(text))
        }
        Progress::Usage { cost_usd, tokens, turns, .. } => {
            let turns = turns.map(|turns| output::counted(turns.into(), "turn"));
            let tokens = tokens.map(|tokens| format!("{} tokens in, {} out", tokens.input, tokens.output));
            let parts = [turns, tokens, cost_usd.map(|dollars| output::cost(Some(dollars)))];
            format!("answer: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        Progress::Warning { text } => format!("warning: {text}"),
        Progress::Missing { events, why } => {
            let why = match why {
                Why::Slow => "the database was too slow",
                Why::Full => "this log is full",
                Why::Refused => "the database refused them",
            };
            format!("({} not in this log: {why})", output::counted(*events, "event"))
        }
        Progress::Unknown => "(something that a newer release has written)".to_owned(),
    };
    // The beginning tells a tool's answer from what the agent does.
    let indent = if line.starts_with("  ") { "  " } else { "" };
    format!("{indent}{}", one_line(&line, MOST + 100))
}

fn inner(parent: &Option<String>) -> &'static str {
    if parent.is_some() { "(sub-agent) " } else { "" }
}

fn shown(content: &Content) -> String {
    let Some(text) = &content.text else { return content.to_string() };
    let line = one_line(text, MOST);
    if content.cut == 0 { line } else { format!("{line} ({} bytes cut)", content.cut) }
}

/// The part of a tool's input that says most.
fn shown_input(input: &Content) -> String {
    let text = input.text.as_deref().unwrap_or_default();
    match serde_json::from_str::<Value>(text).ok().as_ref().and_then(telling) {
        Some(what) => one_line(what, MOST),
        None => shown(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_a_command_to_a_terminal() {
        let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\r\nrm \0";
        let text = Content { text: Some(hostile.to_owned()), cut: 0 };
        let name = Some(hostile.to_owned());
        let all = [
            Progress::Text { text: text.clone(), parent: None },
            Progress::ToolCall {
                id: hostile.into(),
                name: hostile.into(),
                input: text.clone(),
                parent: None,
            },
            Progress::ToolResult { id: hostile.into(), is_error: true, output: text.clone(), parent: None },
            Progress::Session { session_id: name.clone(), model: name.clone() },
            Progress::ApiRetry { attempt: 1, delay_ms: 1, error: name.clone() },
            Progress::ApiError { error: name, text },
        ];
        for each in all {
            let line = progress(&each);
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn lines_read_well() {
        let content = |text: &str, cut| Content { text: Some(text.to_owned()), cut };
        let call = |input| Progress::ToolCall { id: "1".into(), name: "Bash".into(), input, parent: None };
        let result = |output| Progress::ToolResult { id: "1".into(), is_error: false, output, parent: None };
        let table = [
            (call(content(r#"{"timeout": 5, "command": "git  log"}"#, 0)), "Bash: git log"),
            (call(content(r#"{"command": "git l"#, 7)), r#"Bash: {"command": "git l (7 bytes cut)"#),
            (call(Content { text: None, cut: 9 }), "Bash: (9 bytes, kept out)"),
            (result(content("a\nb", 0)), "  answers: a b"),
            (Progress::Missing { events: 1, why: Why::Full }, "(1 event not in this log: this log is full)"),
        ];
        for (each, expected) in table {
            assert_eq!(progress(&each), expected);
        }
    }
}
