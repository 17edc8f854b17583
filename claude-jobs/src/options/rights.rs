//! Whether a run can write: what its permission mode and its granted tools come to.

use super::kind::PermissionMode;
use super::literal::{Literal, is_one_of};
use super::{Args, Options};

/// The modes in which the agent may write without asking.
const WRITING_MODES: &[&str] = &["accept_edits", "bypass_permissions", "auto"];

/// The tools that write wherever they like.
const WRITING_TOOLS: &[&str] = &["Bash", "Edit", "MultiEdit", "NotebookEdit", "Write"];

const fn is_writing_mode(mode: &str) -> bool {
    is_one_of(mode, WRITING_MODES)
}

/// A tool that is granted outright, be it by a pattern of wildcards only, such as `Edit(**)`. One with a pattern that
/// says where or what, such as `Bash(git log:*)`, is not.
const fn is_writing_tool(tool: &str) -> bool {
    let bytes = tool.as_bytes();
    let mut end = 0;
    while end < bytes.len() && bytes[end] != b'(' {
        end += 1;
    }
    let mut index = end;
    while index < bytes.len() {
        if !matches!(bytes[index], b'(' | b')' | b'*' | b'/' | b'.' | b':' | b'~' | b' ') {
            return false;
        }
        index += 1;
    }
    let is_whole = end == bytes.len() || bytes[bytes.len() - 1] == b')';
    is_whole && is_one_of(tool.split_at(end).0.trim_ascii(), WRITING_TOOLS)
}

impl Options {
    /// Whether the run may write without asking: its permission mode is `accept_edits`,
    /// `bypass_permissions` or `auto`, or `allowed_tools` grants `Bash`, `Edit`, `MultiEdit`,
    /// `NotebookEdit` or `Write` without a pattern or with one of wildcards only, such as `Edit(**)` (which `plan`
    /// overrides). Grants of settings files, hooks and MCP servers are not looked at: `hermetic` keeps them out.
    pub fn can_write(&self) -> bool {
        if let Some(mode) = self.permission_mode
            && (mode == PermissionMode::Plan || is_writing_mode(mode.name()))
        {
            return mode != PermissionMode::Plan;
        }
        self.allowed_tools.iter().flatten().any(|tool| is_writing_tool(tool))
    }
}

impl Args {
    const fn sampled_tools(&self) -> Option<Literal> {
        match self.allowed_tools {
            Some(tools) => Some(tools.sample()),
            None => None,
        }
    }

    /// The same question for a constant layer, whose templates stand for their samples.
    pub(super) const fn can_write(&self) -> bool {
        if let Some(Literal::Str(mode)) = self.permission_mode {
            if is_one_of(mode, &["plan"]) {
                return false;
            }
            if is_writing_mode(mode) {
                return true;
            }
        }
        let Some(Literal::List(tools)) = self.sampled_tools() else { return false };
        let mut index = 0;
        while index < tools.len() {
            if is_writing_tool(tools[index]) {
                return true;
            }
            index += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::options::ArgMap;

    #[test]
    fn constants_and_run_time_agree() {
        let modes = PermissionMode::NAMES.iter().map(|mode| Some(*mode)).chain([None]);
        let tools: [&'static [&'static str]; 5] =
            [&[], &["Read", "Bash(git log:*)"], &["Read", "Write"], &["Bash"], &["Edit(src/**)"]];
        let mut writing = 0;
        for mode in modes {
            for tools in tools {
                let mut args = Args::EMPTY.allowed_tools(Literal::List(tools));
                let mut map = ArgMap::new().prompt("x").allowed_tools(tools);
                if let Some(mode) = mode {
                    args = args.permission_mode(Literal::Str(mode));
                    map.set("permission_mode", json!(mode));
                }
                let options = Options::merge([&map]).expect("valid");
                assert_eq!(args.can_write(), options.can_write(), "{mode:?} {tools:?}");
                writing += u32::from(options.can_write());
            }
        }
        for tool in [
            "Write(**)",
            "Edit(*)",
            "Edit(/**)",
            "Edit(./**)",
            "Bash(:*)",
            "Bash( * )",
            "Bash()",
            "MultiEdit(~/**)",
        ] {
            assert!(is_writing_tool(tool), "{tool}");
        }
        for tool in [
            "Read",
            "Read(**)",
            "Bash(git push:*)",
            "Edit(src/**)",
            "Write(*.md)",
            "mcp__Bash",
            "BashOutput",
            "Bash(",
        ] {
            assert!(!is_writing_tool(tool), "{tool}");
        }
        // Three modes with any tools; default, dont_ask and none with the two that write; plan never.
        assert_eq!(writing, 3 * 5 + 3 * 2);
    }
}
