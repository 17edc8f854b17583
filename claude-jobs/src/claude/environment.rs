//! The environment that the CLI gets: the runtime's own, less what belongs to another Claude session,
//! plus what an unattended run needs.
//!
//! Never from a job: environment variables hold secrets, and rows must not.

use std::collections::BTreeMap;

use crate::telemetry::{TRACE_PARENT, TRACE_STATE};

/// Set unless the runtime's own environment or configuration says otherwise.
pub const DEFAULTS: &[(&str, &str, &str)] = &[
    ("DISABLE_AUTOUPDATER", "1", "no binary changes under a running fleet"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1", "nobody reads its telemetry"),
    ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1", "a run ends when its answer is there"),
    ("CLAUDE_CODE_STARTUP_FAILURE_RESULTS", "1", "start-up failures come as structured results"),
    ("CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS", "120000", "a silent connection is given up"),
    ("API_TIMEOUT_MS", "300000", "so is one that never answers"),
    ("MCP_TIMEOUT", "10000", "a hanging MCP server delays the start by no more"),
    ("TZ", "UTC", "reset times in messages can be read"),
    ("LANG", "C.UTF-8", "messages are in English"),
];

/// Tells which run a process belongs to: `<job>.<attempt>`.
pub const RUN: &str = "CLAUDE_JOBS_RUN";

/// Tells in which database that job is.
pub const DATABASE: &str = "CLAUDE_JOBS_DATABASE_ID";

/// Set where the prompt holds untrusted text: `@path` in it attaches no file.
pub(super) const NO_FILE_MENTIONS: (&str, &str) = ("CLAUDE_CODE_DISABLE_FILE_MENTIONS", "1");

/// Inherited variables that would make the CLI think it runs inside another session, or belongs elsewhere.
const FOREIGN: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_PID",
    RUN,
    DATABASE,
    "CLAUDE_JOBS_SUPERVISE",
    // The trace in which this process was started is not that of its jobs.
    TRACE_PARENT,
    TRACE_STATE,
];

/// The environment of a run: inherited < defaults where unset < `overrides`.
pub(super) fn build(overrides: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let inherited = std::env::vars_os().filter_map(|(name, value)| {
        // A variable that is no text is of no use to the CLI.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let mut environment: BTreeMap<_, _> =
        inherited.filter(|(name, _)| !FOREIGN.contains(&name.as_str())).collect();
    for (name, value, _) in DEFAULTS {
        environment.entry((*name).to_owned()).or_insert_with(|| (*value).to_owned());
    }
    environment.extend(overrides.clone());
    environment
}

/// The variables for unattended runs as they are in an environment. They hold no secrets, so that the
/// ledger may show them.
pub(super) fn in_effect(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |name: &str| Some((name.to_owned(), environment.get(name)?.clone()));
    DEFAULTS.iter().filter_map(|(name, ..)| value(name)).collect()
}
