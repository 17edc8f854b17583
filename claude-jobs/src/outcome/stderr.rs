//! What the CLI says on standard error when it refuses to start: exact texts, because there is
//! nothing structured to go by.

use super::{Failure, FailureKind, Report};

/// A text that it contains, and what that means. The first match counts.
const TEXTS: &[(&str, FailureKind)] = &[
    ("cannot be used with root/sudo privileges", FailureKind::DangerousModeRefused),
    ("Can only use --worktree in a git repository", FailureKind::NotAGitRepository),
    ("already checked out elsewhere", FailureKind::WorktreeBusy),
    ("Error creating worktree: Failed to resolve base branch", FailureKind::NoCommit),
    ("git` is not on PATH", FailureKind::GitUnusable),
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
    // Its temporary folder cannot be made.
    (", mkdir '", FailureKind::Environment),
    ("ENOSPC", FailureKind::Environment),
    ("EMFILE", FailureKind::Environment),
    ("ENFILE", FailureKind::Environment),
    ("ENOMEM", FailureKind::Environment),
    ("Invalid proxy URL", FailureKind::Environment),
];

/// What the runtime of the CLI prints when it breaks down, at any time.
const CRASH: &str = "Bun v";

/// The failure that a refusal at the start stands for, if the text is a known one. Of a run that has worked such a text
/// is of a tool, a hook or a server.
pub(super) fn startup_failure(report: &Report) -> Option<Failure> {
    let said = report.stderr.trim();
    let refusal = TEXTS.iter().find(|(text, _)| !report.worked && said.contains(text)).map(|(_, kind)| *kind);
    let kind = refusal.or_else(|| said.contains(CRASH).then_some(FailureKind::Crashed))?;
    Some(Failure::new(kind, last_lines(said)))
}

/// The end of a long message: at most 2,000 bytes, from the start of a line where there is one.
pub(super) fn last_lines(said: &str) -> String {
    const MOST: usize = 2_000;
    if said.len() <= MOST {
        return said.to_owned();
    }
    let mut start = said.len() - MOST;
    while !said.is_char_boundary(start) {
        start += 1;
    }
    let tail = &said[start..];
    tail.split_once('\n').map_or(tail, |(_, rest)| rest).to_owned()
}
