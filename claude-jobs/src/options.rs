//! The options of a claude run: THE table, one row each.
//!
//! A row gives an option's name, its [kind] (type, check, JSON form, shape on a command line), how it
//! reaches claude, and its documentation. From the rows come, all in the callers of `for_each_option!`:
//! the compile-time setters of [`Args`], the run-time setters of [`ArgMap`] and of
//! [`JobBuilder`](crate::JobBuilder), the fields of [`Options`], the flags of the `claude-jobs`
//! command, and the attribute's knowledge of what exists (generated code calls the setters).
//!
//! The forms of the same options:
//!
//! | type | what it is | where it lives |
//! |---|---|---|
//! | [`Args`] | one layer, a compile-time constant | worker `args`, `pinned_args`, `args!` |
//! | [`Settings`] | the same, only what is set | [`Definition`](crate::definition::Definition) |
//! | [`ArgMap`] | one layer at run time: JSON by name, not yet checked | job rows, runtime defaults |
//! | [`Options`] | all layers merged and checked | what a run gets |
//!
//! This module must not know jobs, queues or processes.

mod accept;
mod hint;
pub mod kind;
mod layer;
mod literal;
mod merged;
pub(crate) mod rights;
pub(crate) mod rules;
mod template;
pub mod wrapper_setters;

pub use accept::Accept;
pub use kind::{
    Effort, Hermetic, Kind, MAX_ARGUMENT_BYTES, MAX_PROMPT_BYTES, PermissionMode, Shape, Worktree,
};
pub use layer::{ArgMap, Args, Setting, Settings};
pub use literal::{Const, Literal, MAX_DURATION, parse_duration};
pub use merged::{InvalidArgs, Options};
pub use template::{Part, Template, Templates};

/// Calls `$callback!` with every row: `doc name: Kind, |query, value| how it reaches claude;`.
///
/// A row without a closure is the runner's own affair: where it goes is said in its documentation.
macro_rules! for_each_option {
    ($callback:ident) => {
        $callback! {
            /// The prompt, sent on standard input. Required once all layers are merged.
            prompt: Prompt;
            /// The model: an alias (`sonnet`, `opus`, `haiku`) or a full name. Default: the CLI's.
            model: Name, |query, value| query.model(value);
            /// Models to fall back to, comma-separated, when the first is overloaded or missing.
            fallback_model: Name, |query, value| query.fallback_model(value);
            /// The directory the agent works in. It must exist when the run starts. Default: the
            /// runtime's own working directory.
            working_dir: Path;
            /// The `claude` executable. Default: the runtime's (`claude` on `PATH`).
            binary: Path;
            /// Further directories the agent's file tools may reach.
            add_dir: Paths, |query, value| value.into_iter().fold(query, |query, dir| query.add_dir(dir));
            /// Replaces the CLI's system prompt. Text over 131,071 bytes: `system_prompt_file`.
            system_prompt: Text, |query, value| query.system_prompt(value);
            /// Appended to the CLI's system prompt.
            append_system_prompt: Text, |query, value| query.append_system_prompt(value);
            /// A file whose contents replace the system prompt; a relative path begins at `working_dir`.
            system_prompt_file: Path, |query, value| query.extra_args(["--system-prompt-file".into(), value]);
            /// A file whose contents are appended to the system prompt; a relative path begins at `working_dir`.
            append_system_prompt_file: Path, |query, value| query.extra_args(["--append-system-prompt-file".into(), value]);
            /// What the agent may do without asking.
            permission_mode: PermissionModes, |query, value| query.permission_mode(value.to_wrapper());
            /// The MCP tool that answers permission prompts, such as `mcp__guard__approve`.
            permission_prompt_tool: Name, |query, value| query.extra_args(["--permission-prompt-tool".into(), value]);
            /// Tools granted beforehand, such as `Read` or `Bash(git log:*)`.
            allowed_tools: Tools, |query, value| query.allowed_tools(value);
            /// Tools refused, whatever else grants them.
            disallowed_tools: Tools, |query, value| query.disallowed_tools(value);
            /// The built-in tools that exist at all for this run; `[]` for none.
            tools: ToolSet, |query, value| query.tools(if value.is_empty() { vec![String::new()] } else { value });
            /// MCP configurations: paths of JSON files, or JSON texts.
            mcp_config: List, |query, value| value.into_iter().fold(query, |query, config| query.mcp_config(config));
            /// Use only the MCP servers of `mcp_config`.
            strict_mcp_config: Flag, |query, value| if value { query.strict_mcp_config() } else { query };
            /// The agent that the session takes on.
            agent: Name, |query, value| query.agent(value);
            /// Definitions of agents: a JSON object by name with `description` and `prompt` each.
            agents: JsonObject, |query, value| query.agents_json(value);
            /// A settings file's path, or settings as JSON text.
            settings: Name, |query, value| query.settings(value);
            /// Which settings files are loaded. Default: all three.
            setting_sources: Sources, |query, value| query.setting_sources(value.join(","));
            /// How hard the model thinks.
            effort: Efforts, |query, value| query.effort(value.to_wrapper());
            /// Ends the run after this many turns (a rail stop: the job is cancelled).
            max_turns: Count, |query, value| query.max_turns(value);
            /// Ends the run when it has cost more than this many US dollars (a rail stop).
            max_budget_usd: Dollars, |query, value| query.max_budget_usd(value);
            /// The most tokens the model may think with, per answer.
            max_thinking_tokens: Count, |query, value| query.extra_args(["--max-thinking-tokens".into(), value.to_string()]);
            /// Wall-clock limit of one run; then the run is stopped and the job snoozed. Default: none.
            timeout: Seconds;
            /// Longest silence of the CLI before the run is stopped as one that hangs. Silence does not count while
            /// a tool or background task is under way, nor while an answer is being written (unless nothing of it
            /// comes for ten minutes more). Waiting for the first word of an answer counts. Default: none.
            idle_timeout: Seconds;
            /// The longest that one tool call may take, a sub-agent's whole work included; then the run is stopped
            /// and the job snoozed. Default: none.
            tool_timeout: Seconds;
            /// The JSON Schema the answer must satisfy; the answer is then in `structured`.
            json_schema: JsonSchema, |query, value| query.json_schema(value);
            /// Work in a git worktree that the CLI makes (and never removes): `true` or its name.
            worktree: WorktreeName, |query, value| match value {
                Worktree::Off => query,
                Worktree::Unnamed => query.worktree(),
                Worktree::Named(name) => query.worktree_named(name),
            };
            /// Seal the run from the machine's own Claude configuration.
            hermetic: Hermetics, |query, value| match value {
                Hermetic::Off => query,
                Hermetic::Full => query.hermetic(),
                Hermetic::Project => query.hermetic_scoped(claude_wrapper::HermeticScope::Project),
            };
            /// Continue this session (its id or name).
            resume: Name, |query, value| query.resume(value);
            /// Run under this session id. Default: one that is derived from job and attempt.
            session_id: Session, |query, value| query.session_id(value);
            /// Keep no transcript; the session cannot be resumed.
            no_session_persistence: Flag, |query, value| if value { query.no_session_persistence() } else { query };
            /// With `resume`: continue as a new session and leave the old one as it is.
            fork_session: Flag, |query, value| if value { query.fork_session() } else { query };
            /// Beta headers for API requests (API key users only), comma-separated.
            betas: Name, |query, value| query.betas(value);
            /// Plugin directories or archives, for this run.
            plugin_dir: Paths, |query, value| value.into_iter().fold(query, |query, dir| query.plugin_dir(dir));
            /// Plugin archives to fetch, for this run.
            plugin_url: List, |query, value| value.into_iter().fold(query, |query, url| query.plugin_url(url));
            /// Switch off skills and slash commands.
            disable_slash_commands: Flag, |query, value| if value { query.disable_slash_commands() } else { query };
            /// File resources to download at the start: `file_id:relative_path`.
            file: List, |query, value| value.into_iter().fold(query, |query, spec| query.file(spec));
            /// Minimal mode: no hooks, plugins, memory or `CLAUDE.md`; credentials only from
            /// `ANTHROPIC_API_KEY` or an `apiKeyHelper`.
            bare: Flag, |query, value| if value { query.bare() } else { query };
            /// All customisations off, credentials and tools as usual.
            safe_mode: Flag, |query, value| if value { query.safe_mode() } else { query };
            /// Move machine-specific sections out of the system prompt (better prompt caching).
            exclude_dynamic_system_prompt_sections: Flag, |query, value| if value { query.exclude_dynamic_system_prompt_sections() } else { query };
            /// Put sub-agents' text into the event stream.
            forward_subagent_text: Flag, |query, value| if value { query.forward_subagent_text() } else { query };
            /// Put hook events into the event stream.
            include_hook_events: Flag, |query, value| if value { query.include_hook_events() } else { query };
            /// The session's display name.
            name: Name, |query, value| query.name(value);
            /// Continue the session that is linked to this pull request (number or URL).
            from_pr: Name, |query, value| query.from_pr(value);
            /// Categories of the CLI's debug log, such as `api,hooks`.
            debug_filter: Name, |query, value| query.debug_filter(value);
            /// Where the CLI writes its debug log.
            debug_file: Path, |query, value| query.debug_file(value);
        }
    };
}
pub(crate) use for_each_option;

/// One row of the table, for code that goes over all options (flags, documentation, tests).
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The option's name, in snake case.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// What to write.
    pub expects: &'static str,
    /// How it is written on a command line.
    pub shape: Shape,
    is_valid: fn(&serde_json::Value) -> bool,
}

impl Row {
    /// What to write instead of a value that is not valid; for a schema also what is wrong with it, which is
    /// hard to see, and where.
    pub fn expected(&self, value: &serde_json::Value) -> String {
        let mistakes =
            Some(value).filter(|_| self.name == "json_schema").and_then(kind::JsonSchema::mistakes);
        mistakes.map_or_else(|| self.expects.to_owned(), |mistakes| format!("{}: {mistakes}", self.expects))
    }

    /// Whether a JSON value is valid for the option.
    pub fn is_valid(&self, value: &serde_json::Value) -> bool {
        (self.is_valid)(value)
    }
}

macro_rules! rows {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ident $(, |$query:ident, $value:ident| $apply:expr)?;)*) => {
        /// Every option, in the order of the table.
        pub const ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            doc: concat!($($doc,)+),
            expects: <kind::$kind as Kind>::EXPECTS,
            shape: <kind::$kind as Kind>::SHAPE,
            is_valid: |value| <kind::$kind as Kind>::decode(value).is_some(),
        }),*];
    };
}
for_each_option!(rows);

/// The row of that name.
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
