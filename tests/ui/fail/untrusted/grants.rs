//! Untrusted text for runs that can write by something else than their mode: each is named.

use claude_jobs::prelude::*;

const TOOLS: &[&str] = &["Read", "Write(docs/**)"];
const GUARDED: Args = args! { model = "opus", permission_prompt_tool = "mcp__guard__approve" };

#[claude_worker(queue = "q", prompt = "{body}", args = { settings = "settings.json" })]
struct Settings {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", prompt = "{body}", args = { allowed_tools = ["Read", "mcp__github__get_issue"] })]
struct McpTool {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", max_attempts = 1, prompt = "{body}", args = { allowed_tools = ["Edit(src/**)"] })]
struct Path {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", max_attempts = 1, prompt = "{body}", args = { allowed_tools = TOOLS })]
struct Constant {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", prompt = "{body}", args = { permission_mode = "plan", allowed_tools = ["Bash(sh:*)"] })]
struct Shell {
    #[untrusted]
    body: String,
}

/// `git log --output=FILE` writes a file.
#[claude_worker(queue = "q", prompt = "{body}", args = { allowed_tools = ["Grep", "Bash(git log:*)"] })]
struct AnyFlag {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", prompt = "{command} {body}", args = { allowed_tools = ["Bash({command}:*)"] })]
struct Template {
    command: String,
    #[untrusted]
    body: String,
}

/// One error, at the first of both.
#[claude_worker(queue = "q", prompt = "{body}", args = { agents = "{}" }, pinned_args = { mcp_config = ["mcp.json"] })]
struct Both {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", prompt = "{body}", args = { binary = "/opt/claude" })]
struct Binary {
    #[untrusted]
    body: String,
}

#[claude_worker(queue = "q", prompt = "{body}", args = { permission_mode = "plan", ..GUARDED })]
struct Base {
    #[untrusted]
    body: String,
}

/// What is wrong anyway is one error, not two.
#[claude_worker(queue = "q", prompt = "{body}", args = { allowed_tools = ["Bash(sh"], settings = 5, plugin_dir = [""] })]
struct Wrong {
    #[untrusted]
    body: String,
}

fn main() {}
