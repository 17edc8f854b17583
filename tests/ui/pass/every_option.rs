//! Every option, with a literal of each form that it takes.

use claude_jobs::options::{ArgMap, Options, ROWS};
use claude_jobs::prelude::*;

#[claude_worker(
    queue = "q",
    max_attempts = 1,
    prompt = "Go.",
    args = {
        model = "opus", fallback_model = "sonnet,haiku", working_dir = "/repo", binary = "claude",
        add_dir = ["../lib", "../docs"], system_prompt = "Be brief.", append_system_prompt = "",
        permission_mode = "accept_edits", permission_prompt_tool = "mcp__guard__approve",
        allowed_tools = ["Read", "Bash(git log:*)"], disallowed_tools = [], tools = ["Bash", "Read"],
        mcp_config = ["mcp.json"], strict_mcp_config = true, agent = "reviewer",
        agents = r#"{"reviewer": {"description": "Reviews.", "prompt": "Review."}}"#,
        settings = r#"{"env": {}}"#, setting_sources = ["user", "project", "local"], effort = "xhigh",
        max_turns = 40, max_budget_usd = 2, max_thinking_tokens = 1_000, timeout = 15 * 60, idle_timeout = "1m30s", tool_timeout = 60,
        json_schema = r#"{"type": "object", "properties": {}}"#, worktree = true, hermetic = "project", resume = "s",
        session_id = "0199f1de-7a4c-7d10-a1b2-c3d4e5f60718", no_session_persistence = false, fork_session = true,
        betas = "one,two", plugin_dir = ["plugins"], plugin_url = ["one"], disable_slash_commands = true,
        file = ["file_1:a.txt"], bare = false, safe_mode = true, exclude_dynamic_system_prompt_sections = true,
        forward_subagent_text = true, include_hook_events = true, name = "nightly", debug_filter = "api,hooks",
        debug_file = "debug.log",
    },
)]
struct Everything;

#[claude_worker(
    queue = "q",
    args = {
        system_prompt_file = "system.md", append_system_prompt_file = "more.md", from_pr = "87", worktree = "issue-87",
        hermetic = true, max_budget_usd = 2.5, timeout = 0.5, tools = [], setting_sources = [],
    },
)]
struct TheOthers;

fn main() {
    let (all, others) = (ArgMap::from(Everything::DEFINITION.args), ArgMap::from(TheOthers::DEFINITION.args));
    for row in ROWS {
        assert!(all.get(row.name).or(others.get(row.name)).is_some(), "{} is missing here", row.name);
    }
    Options::check_layer(&all).expect("what compiles is valid");
    Options::check_layer(&others).expect("what compiles is valid");
    assert_eq!(all.get("timeout"), Some(&900.into()));
    let _ = (Everything::new(), TheOthers::new("Go."));
}
