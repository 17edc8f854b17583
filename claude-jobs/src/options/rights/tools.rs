//! What a tool pattern of `allowed_tools` grants.

use crate::options::literal::is_one_of;

/// What a tool pattern grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Only to read.
    Reads,
    /// To write.
    Writes,
    /// To run a command that is not known to only read.
    Command,
    /// A tool that is not known to only read: one of an MCP server, one of a newer CLI.
    Unknown,
}

/// The tools that change files. A path in the pattern says where, not whether.
const EDITORS: &[&str] = &["Edit", "MultiEdit", "NotebookEdit", "Write"];

/// The tools that change nothing but the session itself. `Skill` is not among them: a skill brings its own grants.
const READERS: &[&str] = &[
    "Agent",
    "BashOutput",
    "Glob",
    "Grep",
    "KillShell",
    "LS",
    "NotebookRead",
    "Read",
    "StructuredOutput",
    "Task",
    "TaskCreate",
    "TaskGet",
    "TaskList",
    "TaskOutput",
    "TaskStop",
    "TaskUpdate",
    "TodoRead",
    "TodoWrite",
    "ToolSearch",
    "WebFetch",
    "WebSearch",
];

/// Commands that only read, whatever follows them: they take no flag that writes a file or starts a program.
///
/// What follows is still one command: the CLI does not let a pattern grant redirections (`>`), further commands (`;`,
/// `&&`, `|`), substitutions (`$(…)`) or variables in front (2.1.309, 2.1.332).
///
/// Not here, though they look like it: `git log`, `git diff`, `git show`, `git blame`, `git shortlog` (`--output`),
/// `git grep` (`--open-files-in-pager`), `git branch`, `git ls-remote` (`--upload-pack`), `find` (`-exec`, `-delete`),
/// `rg` (`--pre`), `sort` (`-o`), `tree` (`-o`), `uniq` (a second file), `file` (`-C`), `sed` and `awk` (`w`), `less`,
/// `tee`, `xargs`, `env`, and all that runs programs: `sh`, `python`, `node`, `make`, `cargo`, `npm`, ….
const READ_WITH_ANY_ARGUMENTS: &[&str] = &[
    "cat",
    "gh issue list",
    "gh issue status",
    "gh issue view",
    "gh pr checks",
    "gh pr diff",
    "gh pr list",
    "gh pr status",
    "gh pr view",
    "gh release list",
    "gh release view",
    "gh repo view",
    "gh run list",
    "gh run view",
    "git ls-files",
    "git rev-parse",
    "git status",
    "grep",
    "head",
    "ls",
    "stat",
    "tail",
    "wc",
];

/// Commands that only read if their pattern has no wildcard and does not contain one of [`WRITING_FLAGS`].
const READ_AS_WRITTEN: &[&str] = &["git blame", "git diff", "git log", "git shortlog", "git show"];

/// How the flags begin with which those commands write a file or start a program; git takes them shortened, too.
const WRITING_FLAGS: &[&str] = &["--ou", "--ext"];

/// What the pattern grants.
pub(super) const fn right(pattern: &str) -> Right {
    let (name, inside) = split(pattern.trim_ascii());
    if is_one_of(name, EDITORS) {
        return Right::Writes;
    }
    if is_one_of(name, READERS) {
        return Right::Reads;
    }
    match inside {
        _ if !is_one_of(name, &["Bash"]) => Right::Unknown,
        Some(command) => right_of_command(command),
        None => Right::Writes,
    }
}

/// The tool without its pattern, where it is a known one.
pub(super) fn kind(pattern: &str) -> String {
    let (name, _) = split(pattern.trim_ascii());
    if name == "Bash" || EDITORS.contains(&name) {
        format!("`{name}`")
    } else if name.starts_with("mcp__") {
        "an MCP tool".to_owned()
    } else {
        "a tool of another kind".to_owned()
    }
}

/// `Name(inside)` in its two parts.
const fn split(pattern: &str) -> (&str, Option<&str>) {
    let bytes = pattern.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index] == b'(' && bytes[bytes.len() - 1] == b')' {
            let (name, rest) = pattern.split_at(index);
            return (name, Some(rest.split_at(1).1.split_at(bytes.len() - index - 2).0));
        }
        index += 1;
    }
    (pattern, None)
}

const fn right_of_command(pattern: &str) -> Right {
    let Some((command, is_open)) = fixed(pattern) else { return Right::Command };
    if command.is_empty() {
        // `Bash()`, `Bash(*)`, `Bash(:*)`: everything.
        return Right::Writes;
    }
    if !is_plain(command) {
        return Right::Command;
    }
    if begins_with_one(command, READ_WITH_ANY_ARGUMENTS) {
        return Right::Reads;
    }
    if !is_open && begins_with_one(command, READ_AS_WRITTEN) && !has_writing_flag(command) {
        return Right::Reads;
    }
    Right::Command
}

/// The part of a pattern before its first wildcard, and whether there is a wildcard. None where the wildcard
/// stands in a word: `ls*` also grants `lsblk`.
const fn fixed(pattern: &str) -> Option<(&str, bool)> {
    let bytes = pattern.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b'*' {
        end += 1;
    }
    if end == bytes.len() {
        return Some((pattern.trim_ascii(), false));
    }
    let is_prefix = end > 0 && bytes[end - 1] == b':' && end + 1 == bytes.len();
    let start = if is_prefix { end - 1 } else { end };
    if start > 0 && !is_prefix && bytes[start - 1] != b' ' {
        return None;
    }
    Some((pattern.split_at(start).0.trim_ascii(), true))
}

/// Whether the text is words without any sign that means something to a shell, quotes included: one of them could hide
/// a flag.
const fn is_plain(command: &str) -> bool {
    let bytes = command.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let is_plain = bytes[index].is_ascii_alphanumeric()
            || matches!(
                bytes[index],
                b' ' | b'-' | b'_' | b'.' | b'/' | b':' | b'=' | b'@' | b'%' | b'+' | b'^'
            );
        if !is_plain {
            return false;
        }
        index += 1;
    }
    true
}

/// Whether the command is one of these, or one of them with arguments.
const fn begins_with_one(command: &str, commands: &[&str]) -> bool {
    let mut index = 0;
    while index < commands.len() {
        let length = commands[index].len();
        if starts_at(command, 0, commands[index])
            && (command.len() == length || command.as_bytes()[length] == b' ')
        {
            return true;
        }
        index += 1;
    }
    false
}

const fn has_writing_flag(command: &str) -> bool {
    let mut at = 0;
    while at < command.len() {
        let mut index = 0;
        while index < WRITING_FLAGS.len() {
            if starts_at(command, at, WRITING_FLAGS[index]) {
                return true;
            }
            index += 1;
        }
        at += 1;
    }
    false
}

/// Whether `part` stands in `text` at this byte.
const fn starts_at(text: &str, at: usize, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    if text.len() < at + part.len() {
        return false;
    }
    let mut index = 0;
    while index < part.len() {
        if text[at + index] != part[index] {
            return false;
        }
        index += 1;
    }
    true
}
