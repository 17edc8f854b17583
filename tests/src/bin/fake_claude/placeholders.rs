//! The words of a script that stand for something of the run: `$SESSION_ID`, `$CWD`, `$NOW`, `$PROMPT`.

use claude_jobs_tests::record::Record;
use claude_jobs_tests::script::SESSION_ID;
use serde_json::Value;

/// Replaces the placeholders in every string of an event.
pub(crate) fn fill(event: &Value, record: &Record) -> Value {
    match event {
        Value::String(text) => Value::String(fill_text(text, record)),
        Value::Array(items) => items.iter().map(|item| fill(item, record)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), fill(value, record))).collect()
        }
        other => other.clone(),
    }
}

/// The lines of a recorded transcript as events of this run: placeholders filled, and the recorded
/// session id replaced.
///
/// # Errors
/// When a line is not JSON.
pub(crate) fn fill_transcript(text: &str, record: &Record) -> serde_json::Result<Vec<Value>> {
    let recorded = text.lines().find_map(recorded_session);
    let text = match recorded {
        Some(recorded) => text.replace(&recorded, session_id(record)),
        None => text.to_owned(),
    };
    text.lines().map(|line| Ok(fill(&serde_json::from_str(line)?, record))).collect()
}

fn recorded_session(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    event.get("session_id")?.as_str().map(str::to_owned)
}

/// `$PROMPT` goes last, so that a prompt which speaks of `$CWD` arrives as it is.
fn fill_text(text: &str, record: &Record) -> String {
    if !text.contains('$') {
        return text.to_owned();
    }
    text.replace("$SESSION_ID", session_id(record))
        .replace("$CWD", &record.cwd.to_string_lossy())
        .replace("$NOW", &jiff::Timestamp::now().as_microsecond().to_string())
        .replace("$PROMPT", record.stdin.as_deref().unwrap_or(""))
}

fn session_id(record: &Record) -> &str {
    record.flag("--session-id").or_else(|| record.flag("--resume")).unwrap_or(SESSION_ID)
}
