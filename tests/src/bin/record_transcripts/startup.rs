//! Catalogue, table 1d: the CLI refuses to start. Exit code 1, standard output empty, no API call.

use crate::scenario::{Credential, Place, Scenario};

const SESSION: &str = "5e551011-0000-4000-8000-00000000000b";

pub(crate) fn scenarios() -> Vec<Scenario> {
    [options(), files(), prompts(), environment(), worktrees(), sessions()].concat()
}

fn refused(name: &'static str, about: &'static str, arguments: &'static [&'static str]) -> Scenario {
    Scenario { arguments, ..Scenario::new(name, about) }
}

fn options() -> Vec<Scenario> {
    vec![
        refused("unknown_flag", "unknown flag", &["--no-such-flag"]),
        refused("bad_permission_mode", "bad enum value", &["--permission-mode", "nonsense"]),
        refused("schema_not_json", "--json-schema is not JSON", &["--json-schema", "{"]),
        refused(
            "schema_not_schema",
            "--json-schema is no schema",
            &["--json-schema", r#"{"type":"nonsense"}"#],
        ),
        refused("schema_not_object", "--json-schema is no object", &["--json-schema", "[]"]),
        refused("bad_budget", "--max-budget-usd is not positive", &["--max-budget-usd", "-1"]),
        refused("bad_max_turns", "--max-turns is not a number", &["--max-turns", "many"]),
        refused("unknown_agent", "--agent not found", &["--agent", "no-such-agent"]),
        refused("bad_session_id", "session id is not a UUID", &["--session-id", "not-a-uuid"]),
    ]
}

fn files() -> Vec<Scenario> {
    vec![
        refused("mcp_config_missing", "MCP config file missing", &["--mcp-config", "/nonexistent/mcp.json"]),
        Scenario {
            home_file: Some(("mcp.json", "{")),
            ..refused("mcp_config_invalid", "MCP config is not JSON", &["--mcp-config", "../home/mcp.json"])
        },
        refused("settings_missing", "settings file missing", &["--settings", "/nonexistent/settings.json"]),
        refused(
            "system_prompt_file_missing",
            "system prompt file missing",
            &["--system-prompt-file", "/nonexistent/prompt.txt"],
        ),
    ]
}

fn prompts() -> Vec<Scenario> {
    let with_prompt = |name, about, prompt| Scenario { prompt, ..Scenario::new(name, about) };
    vec![
        with_prompt("prompt_empty", "no prompt", String::new()),
        with_prompt("prompt_blank", "only whitespace", " \n".into()),
        with_prompt("prompt_over_10_mib", "standard input over 10 MiB", "x".repeat(10_485_761)),
    ]
}

fn environment() -> Vec<Scenario> {
    vec![
        refused("bypass_as_root", "dangerous mode as root", &["--permission-mode", "bypassPermissions"]),
        Scenario {
            arguments: &["--dangerously-skip-permissions"],
            env: &[("CLAUDE_CODE_STARTUP_FAILURE_RESULTS", "1")],
            ..Scenario::new(
                "bypass_as_root_with_result",
                "dangerous mode as root, CLAUDE_CODE_STARTUP_FAILURE_RESULTS=1",
            )
        },
        Scenario {
            home_file: Some((".claude.json", "{ not json")),
            ..Scenario::new("corrupt_claude_json", "corrupted ~/.claude.json")
        },
        Scenario {
            env: &[("CLAUDE_CODE_TMPDIR", "/dev/null/tmp")],
            ..Scenario::new("tmpdir_unusable", "CLAUDE_CODE_TMPDIR unusable")
        },
        Scenario { env: &[("HTTPS_PROXY", "not a url")], ..Scenario::new("bad_proxy", "bad HTTPS_PROXY") },
        Scenario {
            credential: Credential::Nothing,
            arguments: &["--bare"],
            ..Scenario::new("not_logged_in_bare", "no credentials, --bare")
        },
    ]
}

fn worktrees() -> Vec<Scenario> {
    vec![
        Scenario {
            place: Place::PlainFolder,
            ..refused("worktree_outside_git", "--worktree outside a git repository", &["--worktree", "task"])
        },
        Scenario {
            place: Place::GitRepoWithoutCommit,
            ..refused(
                "worktree_without_commit",
                "--worktree in a repository without a commit",
                &["--worktree", "task"],
            )
        },
        refused("worktree_bad_name", "--worktree with an invalid name", &["--worktree", "a b"]),
    ]
}

fn sessions() -> Vec<Scenario> {
    vec![
        Scenario {
            earlier: Some(&["--session-id", SESSION]),
            ..refused("session_in_use", "session id is already in use", &["--session-id", SESSION])
        },
        refused("no_conversation", "--resume of an unknown session", &["--resume", SESSION]),
        refused(
            "session_id_with_resume",
            "--session-id with --resume, without --fork-session",
            &["--resume", SESSION, "--session-id", "5e551011-0000-4000-8000-00000000000c"],
        ),
    ]
}
