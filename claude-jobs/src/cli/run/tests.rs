//! What `--json` prints.

use serde_json::json;

use super::*;
use crate::options::Options;
use crate::outcome::{Report, judge};

#[test]
fn the_json_holds_everything_and_null_for_unknown() {
    let event = json!({
        "type": "result", "subtype": "success", "result": "hi", "num_turns": 1, "session_id": "s",
        "model_usage_since_last_result": {"m": {"costUSD": 0.5, "inputTokens": 1, "outputTokens": 2}},
    });
    let run = judge(Report::from_events([&event], 0), &Options::default());
    let printed = Printed::new(&run, &Verdict::Complete, Duration::from_millis(1_500));
    let tokens = json!({"input": 1, "output": 2, "cache_read": 0, "cache_creation": 0});
    assert_eq!(
        serde_json::to_value(printed).expect("JSON"),
        json!({
            "outcome": "success", "verdict": "complete", "reason": null, "text": "hi", "structured": null,
            "session_id": "s", "cost_usd": 0.5, "turns": 1, "tokens": tokens, "model": null,
            "cli_version": null, "duration_ms": 1_500, "denials": [], "ending": "exit 0",
        })
    );
    assert_eq!(summary(&run, Duration::from_millis(1_500)), "1 turn, $0.5000, 1.5s, session s");
}
