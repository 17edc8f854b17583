//! Catalogue, table 1a: runs that end with exit code 0, which is not success by itself.

use claude_jobs_tests::api::Reply;
use rustix::process::Signal;
use serde_json::json;

use crate::scenario::{Credential, Scenario};

const SCHEMA: &str = r#"{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}"#;
const SESSION: &str = "5e551011-0000-4000-8000-00000000000a";
const HOOK: &str = r#"{"hooks":{"UserPromptSubmit":[{"hooks":[{"type":"command","command":"echo refused by policy >&2; exit 2"}]}]}}"#;
const MISSING_MCP_SERVER: &str = r#"{"mcpServers":{"absent":{"command":"/nonexistent/mcp-server"}}}"#;

pub(crate) fn scenarios() -> Vec<Scenario> {
    [answers(), tools(), sessions(), interruptions()].concat()
}

fn answers() -> Vec<Scenario> {
    vec![
        Scenario::new("success", "success"),
        Scenario {
            credential: Credential::OauthToken,
            replies: vec![
                Reply::text("Done.")
                    .header("anthropic-ratelimit-unified-status", "allowed")
                    .header("anthropic-ratelimit-unified-reset", "4102444800")
                    .header("anthropic-ratelimit-unified-representative-claim", "five_hour"),
            ],
            ..Scenario::new("success_oauth", "success with an OAuth token: rate_limit_event `allowed`")
        },
        Scenario {
            arguments: &["--include-partial-messages"],
            ..Scenario::new("success_partial_messages", "success with partial messages")
        },
        Scenario {
            arguments: &["--json-schema", SCHEMA],
            replies: vec![Reply::structured(json!({ "answer": "yes" }))],
            ..Scenario::new("structured_output", "schema ok")
        },
        Scenario {
            arguments: &["--json-schema", SCHEMA],
            replies: vec![Reply::text("I would rather talk.")],
            ..Scenario::new("structured_output_missing", "schema, model never calls the tool")
        },
        Scenario {
            arguments: &["--json-schema", SCHEMA],
            replies: vec![
                Reply::structured(json!({ "answer": 7 })),
                Reply::structured(json!({ "answer": "seven" })),
            ],
            ..Scenario::new("structured_output_second_try", "schema ok after one bad attempt")
        },
        Scenario { replies: vec![Reply::text("")], ..Scenario::new("empty_completion", "empty completion") },
        Scenario {
            prompt: "/help".into(),
            ..Scenario::new("slash_builtin", "prompt starts with a built-in slash command")
        },
        Scenario {
            prompt: "\n/help".into(),
            ..Scenario::new("slash_after_newline", "a newline before the slash: sent to the model")
        },
        Scenario {
            arguments: &["--settings", HOOK],
            ..Scenario::new("prompt_hook_blocked", "UserPromptSubmit hook exits 2")
        },
        Scenario {
            env: &[("CLAUDE_CODE_MAX_RETRIES", "2")],
            replies: vec![Reply::overloaded(), Reply::text("Done.")],
            ..Scenario::new("success_after_retry", "one 529, then success: system/api_retry")
        },
        Scenario {
            arguments: &["--model", "claude-no-such-model", "--fallback-model", "sonnet"],
            replies: vec![Reply::unknown_model("claude-no-such-model"), Reply::text("Done.")],
            ..Scenario::new("fallback_model", "unknown model, then the fallback model answers")
        },
        Scenario {
            arguments: &["--mcp-config", MISSING_MCP_SERVER],
            ..Scenario::new("mcp_server_missing", "MCP server missing: init.mcp_servers[].status")
        },
    ]
}

fn tools() -> Vec<Scenario> {
    let write = |path: &str| Reply::tool("Write", json!({ "file_path": path, "content": "new\n" }));
    let bash = |command: &str| {
        let input = json!({ "command": command, "description": "Run a command" });
        Reply::tool("Bash", input)
    };
    vec![
        Scenario {
            arguments: &["--permission-mode", "acceptEdits"],
            replies: vec![bash("touch new.txt && ls"), Reply::text("Done.")],
            ..Scenario::new("tool_use", "acceptEdits: Bash inside the working directory allowed")
        },
        Scenario {
            replies: vec![write("/etc/claude-jobs-test"), Reply::text("I may not.")],
            ..Scenario::new("tool_denied", "tool denied: permission_denials")
        },
        Scenario {
            arguments: &["--allowed-tools", "Bash"],
            replies: vec![bash("exit 3"), Reply::text("It failed.")],
            ..Scenario::new("tool_failed", "a tool fails: is_error in the tool result")
        },
        Scenario {
            arguments: &["--allowed-tools", "Bash"],
            replies: vec![
                Reply::tool(
                    "Bash",
                    json!({
                        "command": "sleep 0.3", "description": "Wait", "run_in_background": true,
                    }),
                ),
                Reply::text("Started."),
                Reply::text("It ended."),
            ],
            ..Scenario::new("background_bash", "background Bash: two result events")
        },
    ]
}

fn sessions() -> Vec<Scenario> {
    vec![Scenario {
        arguments: &["--resume", SESSION],
        earlier: Some(&["--session-id", SESSION]),
        ..Scenario::new("resumed", "resume: cumulative cost, usage of this run")
    }]
}

fn interruptions() -> Vec<Scenario> {
    let long_tool = || {
        let input = json!({ "command": "touch tool-started; sleep 30", "description": "Wait" });
        vec![Reply::tool("Bash", input), Reply::text("Done.")]
    };
    vec![
        Scenario {
            replies: vec![Reply::hang()],
            signal: Some(Signal::INT),
            ..Scenario::new("sigint_waiting", "SIGINT while waiting on the model: exit 0, no result")
        },
        Scenario {
            arguments: &["--allowed-tools", "Bash"],
            replies: long_tool(),
            signal: Some(Signal::INT),
            ..Scenario::new("sigint_in_tool", "SIGINT in a tool: exit 0, aborted_tools")
        },
        Scenario {
            arguments: &["--allowed-tools", "Bash"],
            replies: long_tool(),
            signal: Some(Signal::TERM),
            ..Scenario::new("sigterm_in_tool", "SIGTERM in a tool: exit 143, no result")
        },
        Scenario {
            replies: vec![Reply::hang()],
            signal: Some(Signal::KILL),
            ..Scenario::new("sigkill_waiting", "SIGKILL while waiting on the model")
        },
    ]
}
