//! Flags as people type them, and the JSON they become.

use clap::{Args, FromArgMatches};
use serde_json::json;

use super::*;

/// The layer of a command line, or what clap says.
fn parsed(line: &[&str]) -> Result<Value, String> {
    let command = Layer::augment_args(Command::new("test").no_binary_name(true));
    let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
    let layer = Layer::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    serde_json::to_value(layer.read().map_err(|problem| problem.to_string())?)
        .map_err(|error| error.to_string())
}

#[test]
fn every_row_but_the_prompt_is_a_flag() {
    let command = Layer::augment_args(Command::new("test"));
    command.clone().debug_assert();
    for row in rows() {
        let long = row.name.replace('_', "-");
        assert!(command.get_arguments().any(|flag| flag.get_long() == Some(&long)), "--{long}");
    }
    assert_eq!(rows().count() + 1, ROWS.len());
}

#[test]
fn flags_become_what_a_row_would_hold() {
    let cases: &[(&[&str], Value)] = &[
        (&["hi"], json!({})),
        (&["hi", "--model", "opus"], json!({"model": "opus"})),
        (&["hi", "--model", "7"], json!({"model": "7"})),
        (&["hi", "--max-turns", "40"], json!({"max_turns": 40})),
        (&["hi", "--max-budget-usd", "2.5"], json!({"max_budget_usd": 2.5})),
        (&["hi", "--timeout", "15m"], json!({"timeout": "15m"})),
        (&["hi", "--timeout", "900"], json!({"timeout": 900})),
        (&["hi", "--bare"], json!({"bare": true})),
        (&["hi", "--bare", "false"], json!({"bare": false})),
        (&["hi", "--worktree"], json!({"worktree": true})),
        (&["hi", "--worktree", "issue-1"], json!({"worktree": "issue-1"})),
        (&["hi", "--hermetic=project"], json!({"hermetic": "project"})),
        (&["hi", "--add-dir", "a", "--add-dir", "b"], json!({"add_dir": ["a", "b"]})),
        (&["hi", "--allowed-tools", "Bash(git log:*)"], json!({"allowed_tools": ["Bash(git log:*)"]})),
        (&["hi", "--tools", ""], json!({"tools": []})),
        (&["hi", "--system-prompt=- be brief"], json!({"system_prompt": "- be brief"})),
        (&["hi", "--json-schema", "{\"type\":\"object\"}"], json!({"json_schema": "{\"type\":\"object\"}"})),
        (&["--max-turns", "3", "--", "hi"], json!({"max_turns": 3})),
    ];
    for (line, expected) in cases {
        let mut expected = expected.clone();
        expected["prompt"] = json!("hi");
        assert_eq!(parsed(line), Ok(expected), "{line:?}");
    }
    assert_eq!(parsed(&["--", "--not a flag"]), Ok(json!({"prompt": "--not a flag"})));
}

#[test]
fn what_cannot_be_right_is_refused_with_the_value_and_the_rule() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["hi", "--max-turns", "-3"], &["'-3'", "--max-turns", "a whole number from 1"]),
        (&["hi", "--max-turns", "many"], &["'many'", "a whole number from 1"]),
        (&["hi", "--max-budget-usd", "0"], &["'0'", "above 0"]),
        (&["hi", "--permission-mode", "yolo"], &["'yolo'", "accept_edits"]),
        (&["hi", "--timeout", "soon"], &["'soon'", "a duration"]),
        (&["hi", "--timeout", "-5m"], &["'-5m'", "a duration"]),
        (&["hi", "--model", "--bare"], &["a value is required for '--model"]),
        (&["hi", "--json-schema", "[]"], &["'[]'", "a JSON Schema (draft-07) of an object"]),
        (
            &["hi", "--json-schema", "{\"typ\": 1}"],
            &["the root: draft-07 has no keyword `typ`: did you mean `type`?"],
        ),
        (&["hi", "--allowed-tools", "A,B"], &["'A,B'", "repeat the flag"]),
        (&["--bare", "hi"], &["'hi'", "--bare", "put the prompt first"]),
        (&["hi", "--max-turnz", "3"], &["--max-turnz", "--max-turns"]),
        (&[], &["PROMPT"]),
    ];
    for (line, expected) in cases {
        let said = parsed(line).expect_err("it is wrong");
        for part in *expected {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    }
}
