//! Whether a run can write: what its permission mode, its granted tools and its other options come to.
//!
//! One judgement, `Rights::first_grant`, for constant layers (while the user's crate compiles) and for the merged
//! options of a run. It counts as writing whatever it cannot judge. It judges the options only: settings files,
//! hooks, skills, agents and MCP servers that the CLI finds on the machine or in the repository are there for every
//! run that is not [hermetic](Options::hermetic).

mod tools;

use super::hint::Text;
use super::kind::{PermissionMode, all_names, is_name};
use super::literal::{Literal, is_one_of, is_tool_pattern};
use super::{Args, Options};
use tools::Right;

/// The modes in which the agent may write without asking.
///
/// `plan` is not among them, but takes no grant back: in that mode the CLI refuses its own edit tools, and runs every Bash
/// command that `allowed_tools` or `settings` grant (2.1.309, 2.1.332).
const WRITING_MODES: &[&str] = &["accept_edits", "bypass_permissions", "auto"];

/// What is judged.
struct Rights<'a> {
    mode: Option<&'a str>,
    tools: &'a [&'a str],
    /// Whether each option of [`UNJUDGED`] is set.
    unjudged: [bool; UNJUDGED.len()],
}

/// What lets a run write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The permission mode.
    Mode,
    /// The tool of `allowed_tools` at this index; it surely writes.
    Writing(usize),
    /// The command that `allowed_tools` grants at this index; it is not known to only read.
    Command(usize),
    /// The tool of `allowed_tools` at this index; it is not known to only read.
    Unknown(usize),
    /// This option, whose value cannot be judged.
    Unjudged(&'static str),
}

/// How sure a grant must be to count.
#[derive(Clone, Copy)]
enum Counting {
    /// What surely lets the run write.
    Sure,
    /// This, and what cannot be judged.
    Possible,
}

/// Declares the options that grant what cannot be judged here.
macro_rules! unjudged {
    ($($(#[doc = $why:literal])+ $name:ident)+) => {
        const UNJUDGED: &[&str] = &[$(stringify!($name)),+];

        /// The options that can let a run write, in the order in which they are judged. The attribute has the same
        /// list, to find their places.
        pub const GRANTING: &[&str] = &["permission_mode", "allowed_tools", $(stringify!($name)),+];

        impl Options {
            fn unjudged(&self) -> [bool; UNJUDGED.len()] {
                [$(self.$name.as_ref().is_some_and(|value| !value.is_empty())),+]
            }
        }

        impl Args {
            const fn unjudged(&self) -> [bool; UNJUDGED.len()] {
                [$(is_given(self.$name)),+]
            }
        }
    };
}

// Not here, as they give no right: `add_dir` (the file tools may read there; what may write is judged already),
// `setting_sources` (can only take away from what every run reads), `tools` (says what exists, not what is granted),
// `worktree`, `working_dir`, `resume` and `from_pr` (the rights are those of the new run), `debug_file` (the CLI
// itself writes there).
unjudged! {
    /// Another program in place of the CLI minds no permission.
    binary
    /// Its answers grant what they like.
    permission_prompt_tool
    /// Its servers are programs.
    mcp_config
    /// Its definition, which is elsewhere, may bring tools, hooks and servers.
    agent
    /// The same, in place.
    agents
    /// May grant tools, and name hooks, which are programs.
    settings
    /// Plugins bring hooks, servers, skills and agents.
    plugin_dir
    /// The same.
    plugin_url
    /// May put a settings file where the CLI reads it.
    file
}

/// Whether an option of text or texts is set. A value of another kind counts as not set: another check refuses it, and one
/// error is enough.
const fn is_given(literal: Option<Literal>) -> bool {
    match literal {
        Some(literal) => match literal.sample() {
            Literal::Str(text) => is_name(text),
            Literal::List(items) => !items.is_empty() && all_names(items),
            _ => false,
        },
        None => false,
    }
}

impl Rights<'_> {
    /// The first grant that counts.
    const fn first_grant(&self, counting: Counting) -> Option<Grant> {
        if let Some(mode) = self.mode
            && is_one_of(mode, WRITING_MODES)
        {
            return Some(Grant::Mode);
        }
        let counts_possible = matches!(counting, Counting::Possible);
        let mut index = 0;
        while index < self.tools.len() {
            // What is no pattern is refused by the option's own check.
            if is_tool_pattern(self.tools[index]) {
                match tools::right(self.tools[index]) {
                    Right::Writes => return Some(Grant::Writing(index)),
                    Right::Command if counts_possible => return Some(Grant::Command(index)),
                    Right::Unknown if counts_possible => return Some(Grant::Unknown(index)),
                    Right::Command | Right::Unknown | Right::Reads => {}
                }
            }
            index += 1;
        }
        let mut index = 0;
        while counts_possible && index < UNJUDGED.len() {
            if self.unjudged[index] {
                return Some(Grant::Unjudged(UNJUDGED[index]));
            }
            index += 1;
        }
        None
    }
}

impl Grant {
    /// The option that grants.
    const fn option(self) -> &'static str {
        match self {
            Self::Mode => "permission_mode",
            Self::Writing(_) | Self::Command(_) | Self::Unknown(_) => "allowed_tools",
            Self::Unjudged(option) => option,
        }
    }

    /// The index in `allowed_tools`, where a tool is what grants.
    const fn tool(self) -> Option<usize> {
        match self {
            Self::Writing(index) | Self::Command(index) | Self::Unknown(index) => Some(index),
            Self::Mode | Self::Unjudged(_) => None,
        }
    }

    /// What is wrong where an `#[untrusted]` field meets this grant, and what to do. `tool` is how the tool is called.
    const fn problem(self, tool: &str) -> Text {
        let text = Text::new().with("`").with(self.option());
        let text = match self {
            Self::Mode => text.with("` lets the run write"),
            Self::Writing(_) => text.with("` lets the run write with ").with(tool),
            Self::Command(_) | Self::Unknown(_) => {
                text.with("` grants ").with(tool).with(", which is not known to only read")
            }
            Self::Unjudged(_) => text.with("` may let the run write, which cannot be judged"),
        };
        let text = text.with(", and the worker has an `#[untrusted]` field: ");
        let text = match self {
            Self::Mode => text.with("use `\"plan\"`"),
            Self::Writing(_) | Self::Unknown(_) | Self::Unjudged(_) => text.with("drop it"),
            Self::Command(_) => text.with(
                "drop it (claude runs commands that only read, such as `git log` and `ls`, without a grant)",
            ),
        };
        text.with(", or accept the risk with `allow_untrusted_writes`")
    }
}

impl Options {
    /// Whether the run may write without asking, as far as its options say: what cannot be judged counts.
    ///
    /// | option | lets the run write |
    /// |---|---|
    /// | `permission_mode` | `accept_edits`, `bypass_permissions`, `auto` |
    /// | `allowed_tools` | all but tools that only read (`Read`, `Grep`, `WebFetch`, …) and `Bash` patterns of commands that only read, whatever may follow: `Bash(gh pr view:*)` does, `Bash(git log:*)` does not (`--output`) |
    /// | `binary`, `permission_prompt_tool`, `mcp_config`, `agent`, `agents`, `settings`, `plugin_dir`, `plugin_url`, `file` | wherever they are set |
    ///
    /// Settings files, hooks, skills, agents and MCP servers of the machine and of the repository are not looked at:
    /// `hermetic` keeps them out.
    pub fn can_write(&self) -> bool {
        self.possible_grant().is_some()
    }

    /// What lets the run write, with what to do where it reads untrusted text.
    ///
    /// The message holds no value, as those may be secret.
    pub(crate) fn untrusted_problem(&self) -> Option<String> {
        let grant = self.possible_grant()?;
        let tool = grant.tool().map(|index| {
            let pattern = self.allowed_tools.iter().flatten().nth(index).map_or("", String::as_str);
            format!("its entry {} ({})", index + 1, tools::kind(pattern))
        });
        Some(grant.problem(&tool.unwrap_or_default()).as_str().to_owned())
    }

    fn possible_grant(&self) -> Option<Grant> {
        let tools: Vec<&str> = self.allowed_tools.iter().flatten().map(String::as_str).collect();
        let rights = Rights {
            mode: self.permission_mode.map(PermissionMode::name),
            tools: &tools,
            unjudged: self.unjudged(),
        };
        rights.first_grant(Counting::Possible)
    }
}

impl Args {
    /// The same for a constant layer, whose templates stand for their samples.
    const fn rights(&self) -> Rights<'static> {
        let mode = match self.permission_mode {
            Some(Literal::Str(mode)) => Some(mode),
            _ => None,
        };
        let tools: &[&str] = match self.allowed_tools {
            Some(tools) => match tools.sample() {
                Literal::List(tools) => tools,
                _ => &[],
            },
            None => &[],
        };
        Rights { mode, tools, unjudged: self.unjudged() }
    }

    /// A tool of `allowed_tools` as it stands in the attribute.
    const fn tool(&self, index: usize) -> &'static str {
        match self.allowed_tools {
            Some(Literal::List(tools)) => tools[index],
            Some(Literal::Templates(templates)) => templates.items[index].source,
            _ => "",
        }
    }

    /// Panics where one of these options is the first that surely lets a run write, for a worker that does not say how
    /// often it may run.
    ///
    /// What cannot be judged does not count here: a worker with an MCP server or a test command would have to say
    /// how often it may run, although most of them may run again.
    #[track_caller]
    pub const fn check_attempts(&self, options: &[&str]) {
        if let Some(grant) = self.rights().first_grant(Counting::Sure) {
            assert!(
                !is_one_of(grant.option(), options),
                "this lets the run write, and each retry is a new paid run that may write again: \
                 say how often with `max_attempts`, such as `max_attempts = 1`"
            );
        }
    }

    /// Panics where one of these options is the first that may let a run write, for a worker with fields that are not
    /// to be trusted.
    #[track_caller]
    pub const fn check_untrusted(&self, options: &[&str]) {
        let Some(grant) = self.rights().first_grant(Counting::Possible) else { return };
        if !is_one_of(grant.option(), options) {
            return;
        }
        let tool = match grant.tool() {
            Some(index) => Text::new().with("`").with(self.tool(index)).with("`"),
            None => Text::new(),
        };
        let problem = grant.problem(tool.as_str());
        panic!("{}", problem.as_str());
    }
}

#[cfg(test)]
mod tests;
