//! What the CLI says on standard error when it refuses to start: exact texts, because there is
//! nothing structured to go by.

use super::{Failure, FailureKind};

/// Text that a line starts with or contains, and what it means. The first match counts.
const TEXTS: &[(&str, FailureKind)] = &[
    ("cannot be used with root/sudo privileges", FailureKind::DangerousModeRefused),
    ("Can only use --worktree in a git repository", FailureKind::NotAGitRepository),
    ("already checked out elsewhere", FailureKind::WorktreeBusy),
    ("Error creating worktree: Failed to resolve base branch", FailureKind::GitUnusable),
    ("Error creating worktree", FailureKind::InvalidOption),
    ("is already in use.", FailureKind::SessionInUse),
    ("No conversation found with session ID", FailureKind::SessionNotFound),
    ("error: unknown option", FailureKind::InvalidOption),
    ("error: option '", FailureKind::InvalidOption),
    ("error: too many arguments", FailureKind::InvalidOption),
    ("Error: --", FailureKind::InvalidOption),
    ("must be a positive number", FailureKind::InvalidOption),
    ("Error: Invalid MCP configuration", FailureKind::InvalidOption),
    ("Error: Settings file not found", FailureKind::InvalidOption),
    ("ystem prompt file not found", FailureKind::InvalidOption),
    ("Error: Invalid session ID", FailureKind::InvalidOption),
    ("--agent '", FailureKind::InvalidOption),
    ("Error: Input must be provided", FailureKind::InvalidOption),
    ("Input contained only whitespace", FailureKind::InvalidOption),
    ("piped stdin input exceeds", FailureKind::InvalidOption),
    ("Not logged in", FailureKind::Authentication),
    ("Claude configuration file at", FailureKind::ConfigCorrupted),
    ("onfiguration Error", FailureKind::ConfigCorrupted),
    ("CLAUDE_CODE_TMPDIR", FailureKind::Environment),
    ("proxy", FailureKind::Environment),
    ("Bun v", FailureKind::Crashed),
];

/// The failure that a refusal at the start stands for, if the text is a known one.
pub(super) fn startup_failure(said: &str) -> Option<Failure> {
    TEXTS.iter().find(|(text, _)| said.contains(text)).map(|(text, kind)| {
        let line = said.lines().find(|line| line.contains(text)).unwrap_or(said);
        Failure::new(*kind, line.trim())
    })
}
