//! The environment that the CLI gets: the runtime's own, less what belongs to another Claude session and what leads to
//! the queue's database, plus what an unattended run needs.
//!
//! Never from a job: environment variables hold secrets, and rows must not.

use std::collections::{BTreeMap, BTreeSet};

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

/// Inherited variables that would make the CLI think it runs inside another session, or that belong elsewhere.
const FOREIGN: &[&str] = &[
    // An agent has no business with the queue.
    "CLAUDE_JOBS_DATABASE",
    "DATABASE_URL",
    "PGPASSFILE",
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

/// Without these nothing runs, so that they need not be listed.
const NEEDED: &[&str] = &["HOME", "PATH"];

/// The environment of a run: inherited, as far as `only` lists it < defaults where unset < `overrides`.
pub(super) fn build(
    only: Option<&BTreeSet<String>>,
    overrides: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let inherited = std::env::vars_os().filter_map(|(name, value)| {
        // A variable that is no text is of no use to the CLI.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let is_listed = |name: &str| only.is_none_or(|only| only.contains(name) || NEEDED.contains(&name));
    let mut environment: BTreeMap<_, _> =
        inherited.filter(|(name, _)| !FOREIGN.contains(&name.as_str()) && is_listed(name)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn built(only: Option<&[&str]>, overrides: &[(&str, &str)]) -> BTreeMap<String, String> {
        let only = only.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let overrides = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        build(only.as_ref(), &overrides.collect())
    }

    /// Cargo sets variables for tests.
    #[test]
    fn a_list_says_what_is_inherited() {
        assert!(built(None, &[]).contains_key("CARGO_PKG_NAME"));
        let listed = built(Some(&["CARGO_PKG_VERSION"]), &[("DATABASE_URL", "postgres://app")]);
        assert!(listed.contains_key("CARGO_PKG_VERSION") && !listed.contains_key("CARGO_PKG_NAME"));
        assert!(listed.contains_key("PATH") && listed.contains_key("HOME"), "nothing runs without");
        assert_eq!(listed["DATABASE_URL"], "postgres://app", "what the program sets itself counts");
        for (name, ..) in DEFAULTS {
            assert!(listed.contains_key(*name), "{name}");
        }
    }
}
