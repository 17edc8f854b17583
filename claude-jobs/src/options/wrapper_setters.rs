//! The setters of claude-wrapper's `QueryCommand` that are not options of a job, each with its
//! reason.
//!
//! A test walks the wrapper's public setters and fails when one is neither a row of the table nor
//! listed here, so that a new release of the wrapper cannot bring an option that nobody judged.

/// Setter of the wrapper, and why a job cannot set it.
pub const EXCLUDED: &[(&str, &str)] = &[
    ("output_format", "the runner reads the event stream"),
    ("input_format", "the runner writes the prompt as plain text"),
    ("verbose", "the runner decides; the event stream forces it"),
    (
        "include_partial_messages",
        "the runner asks for them where `idle_timeout` or `tool_timeout` needs them",
    ),
    ("replay_user_messages", "only for streaming input"),
    ("prompt_via_stdin", "always on: the prompt must not be on the command line"),
    ("retry", "the queue owns retries"),
    ("continue_session", "the most recent session of a directory may be another worker's"),
    ("prompt_suggestions", "predicts a user's next prompt; a batch run has no user"),
    ("brief", "lets the agent message a user; a batch run has no user"),
    ("tmux", "needs a terminal"),
    ("dangerously_skip_permissions", "`permission_mode = \"bypass_permissions\"` says the same"),
    ("allow_dangerously_skip_permissions", "only lets a user switch modes during a session"),
    ("allowed_tool", "`allowed_tools` one by one"),
    ("disallowed_tool", "`disallowed_tools` one by one"),
    ("extra_arg", "an unchecked flag would bypass the table"),
    ("extra_args", "unchecked flags would bypass the table"),
];

/// Setters whose row has another name, with that name.
pub const RENAMED: &[(&str, &str)] =
    &[("agents_json", "agents"), ("worktree_named", "worktree"), ("hermetic_scoped", "hermetic")];
