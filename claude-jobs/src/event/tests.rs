//! Events as values: what is taken from what the CLI prints, and what is kept of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::progress::Reader;
use super::*;
use crate::secrets::Secrets;

fn read(keeps: RunLog, event: Value) -> Vec<Progress> {
    let secrets = Secrets::of([("API_KEY".to_owned(), "correct-horse-battery".to_owned())]);
    Reader { keeps, secrets: &secrets }.read(&event)
}

fn says(text: &str) -> Value {
    json!({"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}})
}

fn said(text: &str) -> Content {
    let mut read = read(RunLog::Full, says(text));
    let Some(Progress::Text { text, .. }) = read.pop() else { panic!("{read:?}") };
    text
}

#[test]
fn a_tool_turn_is_read() {
    let call = json!({"type": "assistant", "message": {"content": [
        {"type": "text", "text": "I look."},
        {"type": "thinking", "thinking": "…"},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}},
    ]}});
    let content = |text: &str| Content { text: Some(text.to_owned()), cut: 0 };
    let (id, name, input) = ("t1".to_owned(), "Bash".to_owned(), content(r#"{"command":"ls"}"#));
    assert_eq!(
        read(RunLog::Full, call),
        [
            Progress::Text { text: content("I look."), parent: None },
            Progress::ToolCall { id, name, input, parent: None }
        ]
    );
    let answers = [
        (json!("a\nb"), "a\nb"),
        (json!([{"type": "text", "text": "a"}, {"type": "image", "source": {}}]), "a\n[image]"),
        (Value::Null, ""),
    ];
    for (printed, kept) in answers {
        let result = json!({"type": "user", "parent_tool_use_id": "t0", "message": {"content": [
            {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": printed}]}});
        let (id, output, parent) = ("t1".to_owned(), content(kept), Some("t0".to_owned()));
        assert_eq!(read(RunLog::Full, result), [Progress::ToolResult { id, is_error: true, output, parent }]);
    }
    for other in [json!({"type": "stream_event"}), json!({"type": "system", "subtype": "status"}), json!(3)] {
        assert_eq!(read(RunLog::Full, other.clone()), [], "{other}");
    }
}

#[test]
fn long_texts_are_cut_between_characters_and_say_so() {
    for text in ["x".repeat(1 << 20), "é".repeat(1 << 19), "🦀".repeat(MOST_OF_A_TEXT)] {
        let Content { text: kept, cut } = said(&text);
        let kept = kept.expect("it is kept");
        assert!(text.starts_with(&kept) && kept.len() > MOST_OF_A_TEXT - 4 && kept.len() <= MOST_OF_A_TEXT);
        assert_eq!(kept.len() as u64 + cut, text.len() as u64);
    }
    let just = "x".repeat(MOST_OF_A_TEXT);
    assert_eq!(said(&just), Content { text: Some(just.clone()), cut: 0 });
    assert_eq!(said(&format!("{just}y")), Content { text: Some(just), cut: 1 });
}

/// A key of several lines, a JSON credential: in a tool's input its line breaks and quotes are escaped.
#[test]
fn secrets_are_hidden_before_they_are_escaped() {
    let secret = "-----BEGIN KEY-----\n\"abc\"\n-----END KEY-----";
    let secrets = Secrets::of([("DEPLOY_KEY".to_owned(), secret.to_owned())]);
    let call = json!({"type": "assistant", "message": {"content": [{"type": "tool_use", "id": "t", "name": "Write",
        "input": {"content": format!("x{secret}y"), "of": [secret]}}]}});
    let read = Reader { keeps: RunLog::Full, secrets: &secrets }.read(&call);
    let [Progress::ToolCall { input, .. }] = &read[..] else { panic!("{read:?}") };
    assert_eq!(input.text.as_deref(), Some(r#"{"content":"x[secret]y","of":["[secret]"]}"#));
}

#[test]
fn secrets_are_hidden_wherever_a_text_is_cut() {
    let secret = "correct-horse-battery";
    assert_eq!(said(&format!("a {secret} b")).text.as_deref(), Some("a [secret] b"));
    for before in MOST_OF_A_TEXT - 30..MOST_OF_A_TEXT + 5 {
        let kept = said(&format!("{}{secret}{}", "x".repeat(before), "y".repeat(20_000))).text.expect("kept");
        assert!(!kept.contains("cor"), "{before}");
    }
    // Many that are hidden make room for what comes after: not for half of one.
    for before in 0..secret.len() {
        let kept = said(&format!("{}{}", "x".repeat(before), secret.repeat(2_000))).text.expect("kept");
        assert!(!kept.contains("correct"), "{before}");
    }
}

#[test]
fn redacted_nothing_is_left_of_a_text() {
    let private = "private matter";
    let events = [
        says(private),
        json!({"type": "assistant", "error": "server_error", "message": {"content": [{"type": "text", "text": private}]}}),
        json!({"type": "assistant", "message": {"content": [
            {"type": "tool_use", "id": "t1", "name": "Write", "input": {"content": private}}]}}),
        json!({"type": "user", "message": {"content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": private}]}}),
        json!({"type": "result", "result": private, "num_turns": 2, "total_cost_usd": 0.5}),
    ];
    let mut kinds = BTreeSet::new();
    for event in events {
        for progress in read(RunLog::Redacted, event) {
            let json = serde_json::to_string(&progress).expect("JSON");
            assert!(!json.contains("private"), "{json}");
            kinds.insert(serde_json::to_value(&progress).expect("JSON")["kind"].to_string());
        }
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert_eq!(
        read(RunLog::Redacted, says("12345")),
        [Progress::Text { text: Content { text: None, cut: 5 }, parent: None }]
    );
}

#[test]
fn what_a_newer_release_has_written_can_be_read() {
    for event in [r#"{"kind":"telepathy","strength":3}"#, "[]", "not JSON"] {
        let row =
            LogRow { job: JobId(1), attempt: 1, number: 1, at: Timestamp::UNIX_EPOCH, event: event.into() };
        assert_eq!(row.read().progress, Progress::Unknown);
    }
}

#[test]
fn events_are_flat_json() {
    let progress = Progress::Text { text: Content { text: Some("hi".into()), cut: 0 }, parent: None };
    let event = |kind| Event {
        job: JobId(7),
        attempt: 2,
        queue: "q".into(),
        worker: "W".into(),
        node: None,
        at: Timestamp::UNIX_EPOCH,
        kind,
    };
    let json = serde_json::to_value(event(EventKind::Progress(progress))).expect("JSON");
    let common = json!({"job": 7, "attempt": 2, "queue": "q", "worker": "W", "node": null, "at": "1970-01-01T00:00:00Z"});
    let mut expected = common.clone();
    (expected["event"], expected["kind"], expected["text"]) =
        (json!("progress"), json!("text"), json!({"text": "hi"}));
    assert_eq!(json, expected);
    let run = RunRow {
        attempt: 2,
        node: None,
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: crate::clock::timestamp(1_500_000),
        session_id: None,
        outcome: "success".into(),
        verdict: "complete".into(),
        ending: "exit 0".into(),
        cost_usd: Some(0.25),
        turns: Some(3),
        tokens: None,
        model: None,
        cli_version: None,
        result: Some("private matter".into()),
        structured: None,
        last_events: vec!["private matter".into()],
        environment: Default::default(),
    };
    let json = serde_json::to_value(event(EventKind::of_run(&run, None))).expect("JSON");
    assert_eq!(
        (&json["event"], &json["duration_ms"], &json["cost_usd"]),
        (&json!("completed"), &json!(1500), &json!(0.25))
    );
    assert!(!json.to_string().contains("private"));

    let table = [
        ("retry", "exit 1", Some(State::Retryable), "retried"),
        ("retry", "exit 1", Some(State::Discarded), "failed"),
        ("retry", "exit 1", Some(State::Cancelled), "cancelled"),
        ("retry", "exit 1", None, "retried"),
        ("snooze", "stopped: timeout", Some(State::Scheduled), "snoozed"),
        ("snooze", "stopped: timeout", Some(State::Retryable), "retried"),
        ("cancel", "exit 1", None, "cancelled"),
        ("give back", "stopped: shutdown", Some(State::Available), "stopped"),
        ("resume", "stopped: shutdown", Some(State::Available), "stopped"),
        ("resume", "stopped: shutdown", Some(State::Retryable), "retried"),
        ("resume", "stopped: lease lost", None, "stopped"),
        ("resume", "exit 1", None, "retried"),
        ("handler failed", "exit 0", Some(State::Retryable), "handler_failed"),
        ("handler failed", "exit 0", None, "handler_failed"),
        ("handler failed", "exit 0", Some(State::Discarded), "failed"),
        ("retry", "lost", Some(State::Retryable), "rescued"),
        ("hold", "lost", Some(State::Discarded), "rescued"),
        ("complete", "exit 0", Some(State::Available), "completed"),
    ];
    for (verdict, ending, state, name) in table {
        let outcome = if ending.starts_with("stopped: ") { "shutdown" } else { "overloaded" };
        let (verdict_of, outcome) = (verdict.to_owned(), outcome.to_owned());
        let run = RunRow { verdict: verdict_of, ending: ending.into(), outcome, ..run.clone() };
        assert_eq!(EventKind::of_run(&run, state).name(), name, "{verdict} {ending} {state:?}");
    }
}

#[test]
fn a_cursor_is_a_text_and_back() {
    let cursor = Cursor {
        until: Some("5:9:7".into()),
        last: Some(super::cursor::Place { written: "6".into(), job: JobId(1), attempt: 1 }),
        since: Some(3),
        ..Cursor::after_all(uuid::Uuid::nil(), "1:2:".into())
    };
    assert_eq!(cursor.to_string().parse::<Cursor>().expect("its own text"), cursor);
    let error = "{}".parse::<Cursor>().expect_err("no cursor").to_string();
    assert!(error.starts_with("this is no cursor"), "{error}");
}
