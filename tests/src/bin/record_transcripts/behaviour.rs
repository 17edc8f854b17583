//! What of a recording is the CLI's behaviour: without what differs from run to run, and without the lists of
//! what it has on board, which grow with every version and mean nothing to a queue.

use claude_jobs_tests::transcript::Entry;
use serde_json::Value;

use crate::scenario::Recording;

/// Fields whose text is drawn anew for each run; it may stand in other texts too.
const DRAWN: [&str; 4] = ["session_id", "task_id", "run_id", "messaging_socket_path"];

/// Moments, and identifiers that stand nowhere else; so does what ends in `_ms` or `uuid`.
const CHANCE: [&str; 3] = ["end_time", "request_id", "timestamp"];

/// What the first event says of the version: its number, its tools, commands, skills and so on.
const INVENTORY: [&str; 8] = [
    "agents",
    "capabilities",
    "claude_code_version",
    "plugins",
    "skills",
    "slash_commands",
    "terminal_slash_commands",
    "tools",
];

/// Equal for two recordings in which the CLI did the same.
pub(crate) fn of(recording: &Recording) -> (Vec<Value>, String, Entry) {
    let mut drawn = Vec::new();
    parsed(&recording.stdout).iter().for_each(|event| collect_drawn(event, &mut drawn));
    let without_drawn =
        |text: &str| drawn.iter().fold(text.to_owned(), |text, drawn| text.replace(drawn, "DRAWN"));
    let mut events = parsed(&without_drawn(&recording.stdout));
    events.iter_mut().for_each(reduce);
    (events, without_drawn(&recording.stderr), recording.entry.clone())
}

fn parsed(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).expect("every line is a JSON event")).collect()
}

fn collect_drawn(value: &Value, drawn: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let text = value.as_str().filter(|text| DRAWN.contains(&name.as_str()) && !text.is_empty());
                drawn.extend(text.map(str::to_owned));
                collect_drawn(value, drawn);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_drawn(item, drawn)),
        _ => {}
    }
}

fn reduce(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let name = name.as_str();
                let is_chance = CHANCE.contains(&name) || name.ends_with("_ms") || name.ends_with("uuid");
                !is_chance && !INVENTORY.contains(&name) && !says_nothing(value)
            });
            fields.values_mut().for_each(reduce);
        }
        Value::Array(items) => items.iter_mut().for_each(reduce),
        _ => {}
    }
}

/// New versions bring new fields; while one says nothing, the run did what it did before.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}
