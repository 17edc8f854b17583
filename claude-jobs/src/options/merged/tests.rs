//! Merging, checking, and the arguments that reach the CLI.

use claude_wrapper::ClaudeCommand;
use serde_json::json;

use super::*;
use crate::options::{Args, Literal};

fn layer(json: Value) -> ArgMap {
    serde_json::from_value(json).expect("a JSON object")
}

#[test]
fn later_layers_win() {
    const WORKER: Args = Args::EMPTY.model(Literal::Str("sonnet")).max_turns(Literal::Int(40));
    let job = ArgMap::new().prompt("hello").model("opus").permission_mode("plan");
    let pinned = ArgMap::new().permission_mode(kind::PermissionMode::Default);
    let options = Options::merge([&WORKER.into(), &job, &pinned]).expect("valid");
    assert_eq!(options.model.as_deref(), Some("opus"));
    assert_eq!(options.max_turns, Some(40));
    assert_eq!(options.permission_mode, Some(kind::PermissionMode::Default));
}

#[test]
fn every_mistake_is_named_and_no_value_is_shown() {
    let secret = "hunter2";
    let problems = Options::merge([&layer(json!({
        "modle": secret,
        "max_turns": secret,
        "permission_mode": secret,
        "max_budget_usd": -1,
        "allowed_tools": ["Bash(", secret],
        "timeout": "soon",
    }))])
    .expect_err("six mistakes and no prompt");
    let text = problems.to_string();
    assert_eq!(problems.problems().len(), 7, "{text}");
    assert!(!text.contains(secret) && !text.contains("soon"), "{text}");
    for expected in [
        "unknown option `modle`: did you mean `model`?",
        "`max_turns` takes a whole number from 1",
        "`permission_mode` takes one of",
        "`max_budget_usd` takes an amount in US dollars above 0",
        "`allowed_tools` takes a list of tool patterns",
        "`timeout` takes a duration",
        "`prompt` is missing",
    ] {
        assert!(text.contains(expected), "{expected} not in {text}");
    }
}

#[test]
fn contradictions_are_refused() {
    let cases = [
        json!({"system_prompt": "a", "system_prompt_file": "b"}),
        json!({"append_system_prompt": "a", "append_system_prompt_file": "b"}),
        json!({"fork_session": true}),
        json!({"resume": "x", "from_pr": "1"}),
        json!({"resume": "x", "session_id": "0199f1de-0000-7000-8000-0123456789ab"}),
        json!({"timeout": 10, "idle_timeout": "1m"}),
    ];
    for case in cases {
        assert!(Options::check_layer(&layer(case.clone())).is_err(), "{case}");
    }
}

#[test]
fn prompts_have_a_size_limit_and_may_hold_anything() {
    let ok = ArgMap::new().prompt("x".repeat(kind::MAX_PROMPT_BYTES));
    assert!(Options::merge([&ok]).is_ok());
    let long = ArgMap::new().prompt("x".repeat(kind::MAX_PROMPT_BYTES + 1));
    assert!(Options::merge([&long]).is_err());
    assert!(Options::merge([&ArgMap::new().prompt("nul \0 byte")]).is_ok());
    assert!(Options::merge([&ArgMap::new().prompt(" \n")]).is_err());
    assert!(Options::merge([&ArgMap::new().prompt("x").system_prompt("nul \0")]).is_err());
}

/// Each row with one valid value, and the arguments the CLI gets for it.
#[test]
fn every_option_reaches_the_command_line() {
    let uuid = "0199f1de-0000-7000-8000-0123456789ab";
    let session = ["--session-id", uuid];
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("prompt", json!("hi"), &[]),
        ("model", json!("sonnet"), &["--model", "sonnet"]),
        ("fallback_model", json!("haiku"), &["--fallback-model", "haiku"]),
        ("working_dir", json!("/repo"), &[]),
        ("binary", json!("/bin/claude"), &[]),
        ("add_dir", json!(["/a", "/b"]), &["--add-dir", "/a", "--add-dir", "/b"]),
        ("system_prompt", json!("s"), &["--system-prompt", "s"]),
        ("append_system_prompt", json!("s"), &["--append-system-prompt", "s"]),
        ("system_prompt_file", json!("f"), &["--system-prompt-file", "f"]),
        ("append_system_prompt_file", json!("f"), &["--append-system-prompt-file", "f"]),
        ("permission_mode", json!("bypass_permissions"), &["--permission-mode", "bypassPermissions"]),
        ("permission_prompt_tool", json!("mcp__a__b"), &["--permission-prompt-tool", "mcp__a__b"]),
        ("allowed_tools", json!(["Read", "Bash(git log:*)"]), &["--allowed-tools", "Read,Bash(git log:*)"]),
        ("disallowed_tools", json!(["Write"]), &["--disallowed-tools", "Write"]),
        ("tools", json!([]), &["--tools", ""]),
        ("mcp_config", json!(["a.json"]), &["--mcp-config", "a.json"]),
        ("strict_mcp_config", json!(true), &["--strict-mcp-config"]),
        ("agent", json!("reviewer"), &["--agent", "reviewer"]),
        ("agents", json!({"a": {}}), &["--agents", r#"{"a":{}}"#]),
        ("settings", json!("s.json"), &["--settings", "s.json"]),
        ("setting_sources", json!(["user", "local"]), &["--setting-sources", "user,local"]),
        ("effort", json!("xhigh"), &["--effort", "xhigh"]),
        ("max_turns", json!(3), &["--max-turns", "3"]),
        ("max_budget_usd", json!(2), &["--max-budget-usd", "2"]),
        ("max_thinking_tokens", json!(1000), &["--max-thinking-tokens", "1000"]),
        ("timeout", json!("15m"), &[]),
        ("idle_timeout", json!(60), &[]),
        ("tool_timeout", json!(60), &[]),
        ("json_schema", json!("{\"type\":\"object\"}"), &["--json-schema", r#"{"type":"object"}"#]),
        ("worktree", json!("issue-1"), &["--worktree", "issue-1"]),
        (
            "hermetic",
            json!("project"),
            &["--strict-mcp-config", "--setting-sources", "user", "--exclude-dynamic-system-prompt-sections"],
        ),
        ("resume", json!("abc"), &["--resume", "abc"]),
        ("session_id", json!(uuid), &session),
        ("no_session_persistence", json!(true), &["--no-session-persistence"]),
        ("fork_session", json!(true), &["--fork-session"]),
        ("betas", json!("b1"), &["--betas", "b1"]),
        ("plugin_dir", json!(["p"]), &["--plugin-dir", "p"]),
        ("plugin_url", json!(["u"]), &["--plugin-url", "u"]),
        ("disable_slash_commands", json!(true), &["--disable-slash-commands"]),
        ("file", json!(["f:doc.txt"]), &["--file", "f:doc.txt"]),
        ("bare", json!(true), &["--bare"]),
        ("safe_mode", json!(true), &["--safe-mode"]),
        (
            "exclude_dynamic_system_prompt_sections",
            json!(true),
            &["--exclude-dynamic-system-prompt-sections"],
        ),
        ("forward_subagent_text", json!(true), &["--forward-subagent-text"]),
        ("include_hook_events", json!(true), &["--include-hook-events"]),
        ("name", json!("nightly"), &["--name", "nightly"]),
        ("from_pr", json!("12"), &["--from-pr", "12"]),
        ("debug_filter", json!("api"), &["--debug", "api"]),
        ("debug_file", json!("d.log"), &["--debug-file", "d.log"]),
    ];
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ROWS.iter().map(|row| row.name).collect::<Vec<_>>(), "one case per row, in order");
    for (name, value, expected) in cases {
        let mut options = Options::default();
        assert!(options.decode(name, &value), "{name}");
        let arguments = options.apply(QueryCommand::new("").prompt_via_stdin(true)).args();
        assert_eq!(arguments[0], "--print");
        assert_eq!(arguments[1..], *expected, "{name}");
        let written = options.to_json();
        let mut again = Options::default();
        assert!(again.decode(name, &written[name]), "{name} does not read what it writes");
        assert_eq!(again.to_json(), written);
    }
}

#[test]
fn typed_options_refuse_unknown_fields() {
    let options: Options =
        serde_json::from_value(json!({"model": "sonnet", "timeout": "15m"})).expect("valid");
    assert_eq!(serde_json::to_value(&options).expect("JSON"), json!({"model": "sonnet", "timeout": 900}));
    for (wrong, expected) in
        [(json!({"modle": "x"}), "did you mean `model`?"), (json!({"max_turns": 0}), "`max_turns` takes")]
    {
        let error = serde_json::from_value::<Options>(wrong).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}
