//! [`Activity`]: what one agent is doing, folded from its events. Pure; draws nothing.

use std::time::Instant;

use serde_json::Value;

use crate::cli::output::{self, one_line};
use crate::event::telling;
use crate::outcome::Report;

/// The most characters of a tool's input, or of the agent's text.
const MOST: usize = 80;

/// What one agent is doing.
#[derive(Debug)]
pub(super) struct Activity {
    label: String,
    started: Instant,
    /// Adds up the cost.
    report: Report,
    turn: u32,
    /// The message of the present turn; it comes in one event per block.
    message: Option<String>,
    doing: String,
}

impl Activity {
    pub(super) fn new(label: &str, started: Instant) -> Self {
        Self {
            label: label.to_owned(),
            started,
            report: Report::new(None),
            turn: 0,
            message: None,
            doing: "starting".to_owned(),
        }
    }

    /// Takes in one event of the stream.
    pub(super) fn observe(&mut self, event: &Value) {
        self.report.observe(event);
        let is_of_sub_agent = event["parent_tool_use_id"].is_string();
        match (event["type"].as_str(), event["subtype"].as_str()) {
            (Some("system"), Some("init")) => self.doing = "thinking".to_owned(),
            (Some("system"), Some("api_retry")) => self.doing = "waiting for the API".to_owned(),
            (Some("assistant"), _) if !is_of_sub_agent => self.observe_message(&event["message"]),
            (Some("user"), _) if !is_of_sub_agent => self.doing = "thinking".to_owned(),
            _ => {}
        }
    }

    fn observe_message(&mut self, message: &Value) {
        let id = message["id"].as_str();
        if id.is_none() || id != self.message.as_deref() {
            self.turn += 1;
            self.message = id.map(str::to_owned);
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("tool_use") => self.doing = tool_use(block),
                Some("text") => self.doing = one_line(block["text"].as_str().unwrap_or_default(), MOST),
                _ => {}
            }
        }
    }

    /// The line: who, turn, elapsed, cost so far (once a result has told), doing.
    pub(super) fn line(&self, now: Instant) -> String {
        let elapsed = output::duration(now.saturating_duration_since(self.started));
        let cost = self.report.cost_usd.map(|dollars| format!("  {}", output::cost(Some(dollars))));
        let cost = cost.unwrap_or_default();
        format!("{}  turn {}  {elapsed}{cost}  {}", self.label, self.turn.max(1), self.doing)
    }
}

/// The tool's name, and the part of its input that says most.
fn tool_use(block: &Value) -> String {
    let name = one_line(block["name"].as_str().unwrap_or("tool"), MOST);
    match telling(&block["input"]) {
        Some(what) => format!("{name}: {}", one_line(what, MOST)),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn message(id: &str, block: Value) -> Value {
        json!({"type": "assistant", "message": {"id": id, "content": [block]}})
    }

    #[test]
    fn tells_tool_turn_time_and_cost() {
        let started = Instant::now();
        let mut activity = Activity::new("job 7", started);
        let line = |activity: &Activity| activity.line(started + Duration::from_secs(65));
        assert_eq!(line(&activity), "job 7  turn 1  1m05s  starting");
        for event in [
            json!({"type": "system", "subtype": "init"}),
            message("m1", json!({"type": "text", "text": "I look\nat it."})),
            message("m1", json!({"type": "tool_use", "name": "Bash", "input": {"command": "git  log\n"}})),
        ] {
            activity.observe(&event);
        }
        assert_eq!(line(&activity), "job 7  turn 1  1m05s  Bash: git log");
        activity.observe(&json!({"type": "user"}));
        activity.observe(&message("m2", json!({"type": "tool_use", "name": "Now", "input": {}})));
        assert_eq!(line(&activity), "job 7  turn 2  1m05s  Now");
        let usage = json!({"m": {"costUSD": 0.25}});
        activity.observe(&json!({"type": "result", "model_usage_since_last_result": usage}));
        assert_eq!(line(&activity), "job 7  turn 2  1m05s  $0.2500  Now");
    }

    #[test]
    fn sub_agents_take_no_turns() {
        let mut activity = Activity::new("job 7", Instant::now());
        let mut event = message("m1", json!({"type": "text", "text": "inner"}));
        event["parent_tool_use_id"] = json!("toolu_1");
        activity.observe(&event);
        assert_eq!((activity.turn, activity.doing.as_str()), (0, "starting"));
    }
}
