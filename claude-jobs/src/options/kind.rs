//! The kinds of value that an option takes: how each is read, written and checked.
//!
//! A kind is a marker type. `decode` reads JSON (rows, typed setters, command-line flags turned into
//! JSON), the inherent `fits` judges a [`Literal`] at compile time. A kind knows nothing of the
//! option that uses it, and never puts a value into a message: values may be secret.

use std::time::Duration;

use claude_wrapper as wrapper;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hint::{Hint, nearest, wrong_pattern};
use super::literal::{
    Literal, fits_argument, is_blank, is_flag, is_one_of, is_tool_pattern, is_uuid, is_worktree_name,
    parse_duration,
};

/// The longest single command-line argument Linux takes (`MAX_ARG_STRLEN` less its NUL).
pub const MAX_ARGUMENT_BYTES: usize = 131_071;

/// The longest prompt: the CLI refuses more than 10 MiB of standard input, and one byte goes to the
/// newline that keeps a leading `/` from being read as a command.
pub const MAX_PROMPT_BYTES: usize = 10 * 1024 * 1024 - 1;

/// How an option is written on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// `--name`, or `--name false`.
    Flag,
    /// `--name VALUE`.
    One,
    /// `--name VALUE`, repeatable.
    Many,
    /// `--name`, or `--name VALUE`.
    Optional,
}

/// One kind of value.
pub trait Kind {
    /// The typed form.
    type Value: Clone;
    /// What to write, to follow "takes".
    const EXPECTS: &'static str;
    /// How it is written on a command line.
    const SHAPE: Shape;
    /// Reads and checks a JSON value; `None` when it is not of this kind.
    fn decode(value: &Value) -> Option<Self::Value>;
    /// Writes the value as [`decode`](Self::decode) reads it.
    fn encode(value: &Self::Value) -> Value;
}

/// What each kind expects, as a literal so that `concat!` can use it in a compile-time panic.
macro_rules! expects {
    (Prompt) => { "text that is not blank, of at most 10485759 bytes" };
    (Text) => { "text of at most 131071 bytes without NUL bytes (longer text belongs in a file)" };
    (Name) => { "text that is not blank and does not begin with `-`, of at most 131071 bytes without NUL bytes" };
    (Path) => { "a path in UTF-8 that is not blank and does not begin with `-` (write `./-`), of at most 131071 bytes without NUL bytes" };
    (Paths) => { "a list of paths that are not blank and do not begin with `-`, such as `[\"../lib\"]`" };
    (Flag) => { "`true` or `false`" };
    (Count) => { "a whole number from 1 to 4294967295, such as `40`" };
    (Dollars) => { "an amount in US dollars above 0, such as `2.5`" };
    (Seconds) => { "a duration up to 30 days: seconds such as `900`, or text such as `\"15m\"` or `\"1h30m\"`" };
    (List) => { "a list of texts that are not blank and do not begin with `-`, such as `[\"one\", \"two\"]`" };
    (Tools) => { "a list of tool patterns, such as `[\"Read\", \"Bash(git log:*)\"]`" };
    (ToolSet) => { "a list of tool names, such as `[\"Bash\", \"Read\"]`; `[]` switches all tools off" };
    (Sources) => { "a list of `\"user\"`, `\"project\"` and `\"local\"`; `[]` loads none" };
    (PermissionModes) => { "one of `\"default\"`, `\"accept_edits\"`, `\"bypass_permissions\"`, `\"dont_ask\"`, `\"plan\"`, `\"auto\"`" };
    (Efforts) => { "one of `\"low\"`, `\"medium\"`, `\"high\"`, `\"xhigh\"`, `\"max\"`" };
    (Session) => { "a UUID, such as `\"0199f1de-7a4c-7d10-a1b2-c3d4e5f60718\"`" };
    (JsonObject) => { "a JSON object, or text that holds one" };
    (JsonSchema) => { "a JSON Schema (draft-07) of an object, or text that holds one" };
    (WorktreeName) => { "`true`, `false` or a name of at most 64 letters, digits, `.`, `_`, `-` and `/` that does not begin with `-`" };
    (Hermetics) => { "`true`, `false`, `\"full\"` or `\"project\"`" };
}
pub(crate) use expects;

/// Declares a marker type with its [`Kind`] impl.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident: $value:ty, $shape:ident,
     fits $literal:ident => $fits:expr,
     $(hint $wrong:ident => $hint:expr,)?
     decode $json:ident => $decode:expr,
     encode $typed:ident => $encode:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl $name {
            /// Whether the literal is a valid value of this kind.
            pub const fn fits(literal: Literal) -> bool {
                let $literal = literal.sample();
                $fits
            }

            /// What to say of a literal that does not fit.
            pub(super) const fn hint(literal: Literal) -> Hint {
                $(if true {
                    let $wrong = literal;
                    return $hint;
                })?
                let _ = literal;
                Hint::None
            }
        }
        impl Kind for $name {
            type Value = $value;
            const EXPECTS: &'static str = expects!($name);
            const SHAPE: Shape = Shape::$shape;
            fn decode($json: &Value) -> Option<$value> { $decode }
            fn encode($typed: &$value) -> Value { $encode }
        }
    };
}

kind! {
    /// The prompt: it travels on standard input, so only its size is bounded.
    Prompt: String, One,
    fits literal => matches!(literal, Literal::Str(text) if !is_blank(text) && text.len() <= MAX_PROMPT_BYTES),
    decode json => text(json).filter(|text| !is_blank(text) && text.len() <= MAX_PROMPT_BYTES),
    encode text => Value::from(text.as_str())
}
kind! {
    /// Any text that fits on a command line, empty included.
    Text: String, One,
    fits literal => matches!(literal, Literal::Str(text) if fits_argument(text, MAX_ARGUMENT_BYTES)),
    decode json => text(json).filter(|text| fits_argument(text, MAX_ARGUMENT_BYTES)),
    encode text => Value::from(text.as_str())
}
kind! {
    /// A name or spec: text that is not blank.
    Name: String, One,
    fits literal => matches!(literal, Literal::Str(text) if is_name(text)),
    decode json => text(json).filter(|text| is_name(text)),
    encode text => Value::from(text.as_str())
}
kind! {
    /// A path. A relative `working_dir` is taken from the runtime's own working directory; all others go to the CLI as
    /// they are, which takes them from the run's `working_dir`.
    Path: String, One,
    fits literal => matches!(literal, Literal::Str(text) if is_name(text)),
    decode json => text(json).filter(|text| is_name(text)),
    encode text => Value::from(text.as_str())
}
kind! {
    /// Several paths.
    Paths: Vec<String>, Many,
    fits literal => matches!(literal, Literal::List(items) if all_names(items)),
    decode json => list(json, is_name),
    encode items => Value::from(items.as_slice())
}
kind! {
    /// A switch. `false` overrides a `true` of a lower layer.
    Flag: bool, Flag,
    fits literal => matches!(literal, Literal::Bool(_)),
    decode json => json.as_bool(),
    encode value => Value::from(*value)
}
kind! {
    /// A count of at least one.
    Count: u32, One,
    fits literal => matches!(literal, Literal::Int(number) if number >= 1 && number <= u32::MAX as i64),
    decode json => json.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|&number| number >= 1),
    encode number => Value::from(*number)
}
kind! {
    /// US dollars.
    Dollars: f64, One,
    fits literal => match literal {
        Literal::Float(amount) => amount > 0.0 && amount < f64::INFINITY,
        Literal::Int(amount) => amount > 0,
        _ => false,
    },
    decode json => json.as_f64().filter(|amount| amount.is_finite() && *amount > 0.0),
    encode amount => Value::from(*amount)
}
kind! {
    /// A duration, kept to the millisecond; written in seconds.
    Seconds: Duration, One,
    fits literal => match literal {
        Literal::Str(text) => parse_duration(text).is_some(),
        Literal::Int(seconds) => seconds >= 1 && seconds <= super::literal::MAX_DURATION.as_secs() as i64,
        Literal::Float(seconds) => seconds >= 0.001 && seconds <= super::literal::MAX_DURATION.as_secs() as f64,
        _ => false,
    },
    decode json => seconds(json),
    encode duration => {
        if duration.subsec_millis() == 0 { Value::from(duration.as_secs()) }
        else { Value::from(duration.as_millis() as f64 / 1000.0) }
    }
}
kind! {
    /// Several names.
    List: Vec<String>, Many,
    fits literal => matches!(literal, Literal::List(items) if all_names(items)),
    decode json => list(json, is_name),
    encode items => Value::from(items.as_slice())
}
kind! {
    /// Several tool patterns.
    Tools: Vec<String>, Many,
    fits literal => match literal {
        Literal::List(items) => {
            let (mut index, mut ok) = (0, true);
            while index < items.len() {
                ok = ok && is_tool_pattern(items[index]);
                index += 1;
            }
            ok
        }
        _ => false,
    },
    hint wrong => wrong_pattern(wrong),
    decode json => list(json, is_tool_pattern),
    encode items => Value::from(items.as_slice())
}
kind! {
    /// The set of built-in tools that exist for the run; empty means none.
    ToolSet: Vec<String>, Many,
    fits literal => matches!(literal, Literal::List(items) if all_names(items)),
    decode json => list(json, is_name),
    encode items => Value::from(items.as_slice())
}
kind! {
    /// Which settings files the CLI loads.
    Sources: Vec<String>, Many,
    fits literal => match literal {
        Literal::List(items) => {
            let (mut index, mut ok) = (0, true);
            while index < items.len() {
                ok = ok && is_one_of(items[index], SOURCES);
                index += 1;
            }
            ok
        }
        _ => false,
    },
    decode json => list(json, |item| is_one_of(item, SOURCES)),
    encode items => Value::from(items.as_slice())
}
kind! {
    /// A [`PermissionMode`].
    PermissionModes: PermissionMode, One,
    fits literal => matches!(literal, Literal::Str(text) if is_one_of(text, PermissionMode::NAMES)),
    hint wrong => nearest(wrong, PermissionMode::NAMES),
    decode json => PermissionMode::from_name(json.as_str()?),
    encode mode => Value::from(mode.name())
}
kind! {
    /// An [`Effort`].
    Efforts: Effort, One,
    fits literal => matches!(literal, Literal::Str(text) if is_one_of(text, Effort::NAMES)),
    hint wrong => nearest(wrong, Effort::NAMES),
    decode json => Effort::from_name(json.as_str()?),
    encode effort => Value::from(effort.name())
}
kind! {
    /// A session id.
    Session: String, One,
    fits literal => matches!(literal, Literal::Str(text) if is_uuid(text)),
    decode json => text(json).filter(|text| is_uuid(text)),
    encode text => Value::from(text.as_str())
}
kind! {
    /// A JSON object, given as an object or as text; kept and sent as text.
    JsonObject: String, One,
    fits literal => matches!(literal, Literal::Str(text) if fits_argument(text, MAX_ARGUMENT_BYTES)),
    decode json => match json {
        Value::String(text) => serde_json::from_str::<serde_json::Map<String, Value>>(text).ok().map(|_| text.clone()),
        Value::Object(_) => Some(json.to_string()),
        _ => None,
    }.filter(|text| fits_argument(text, MAX_ARGUMENT_BYTES)),
    encode text => Value::from(text.as_str())
}
kind! {
    /// A JSON Schema that claude takes, given as an object or as text; kept and sent as text.
    JsonSchema: String, One,
    fits literal => matches!(literal, Literal::Str(text) if fits_argument(text, MAX_ARGUMENT_BYTES)),
    decode json => JsonObject::decode(json).filter(|text| claude_jobs_json_schema::problems(text).is_empty()),
    encode text => Value::from(text.as_str())
}

impl JsonSchema {
    /// What is wrong with a value that is a JSON object, but no schema.
    pub(super) fn mistakes(json: &Value) -> Option<String> {
        let text = JsonObject::decode(json)?;
        Some(claude_jobs_json_schema::problems(&text).join("; "))
    }
}

kind! {
    /// A [`Worktree`].
    WorktreeName: Worktree, Optional,
    fits literal => match literal {
        Literal::Bool(_) => true,
        Literal::Str(text) => is_worktree_name(text),
        _ => false,
    },
    decode json => match json {
        Value::Bool(true) => Some(Worktree::Unnamed),
        Value::Bool(false) => Some(Worktree::Off),
        Value::String(name) => is_worktree_name(name).then(|| Worktree::Named(name.clone())),
        _ => None,
    },
    encode worktree => match worktree {
        Worktree::Off => Value::from(false),
        Worktree::Unnamed => Value::from(true),
        Worktree::Named(name) => Value::from(name.as_str()),
    }
}
kind! {
    /// A [`Hermetic`] seal.
    Hermetics: Hermetic, Optional,
    fits literal => match literal {
        Literal::Bool(_) => true,
        Literal::Str(text) => is_one_of(text, &["full", "project"]),
        _ => false,
    },
    decode json => match json {
        Value::Bool(false) => Some(Hermetic::Off),
        Value::Bool(true) => Some(Hermetic::Full),
        Value::String(text) if text == "full" => Some(Hermetic::Full),
        Value::String(text) if text == "project" => Some(Hermetic::Project),
        _ => None,
    },
    encode seal => match seal {
        Hermetic::Off => Value::from(false),
        Hermetic::Full => Value::from("full"),
        Hermetic::Project => Value::from("project"),
    }
}

const SOURCES: &[&str] = &["user", "project", "local"];

pub(super) const fn is_name(text: &str) -> bool {
    !is_blank(text) && !is_flag(text) && fits_argument(text, MAX_ARGUMENT_BYTES)
}

pub(super) const fn all_names(items: &[&str]) -> bool {
    let mut index = 0;
    while index < items.len() {
        if !is_name(items[index]) {
            return false;
        }
        index += 1;
    }
    true
}

fn text(json: &Value) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn list(json: &Value, is_item: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    json.as_array()?
        .iter()
        .map(|item| item.as_str().filter(|item| is_item(item)).map(str::to_owned))
        .collect()
}

fn seconds(json: &Value) -> Option<Duration> {
    if let Some(text) = json.as_str() {
        return parse_duration(text);
    }
    let milliseconds = (json.as_f64()? * 1000.0).round();
    let longest = super::literal::MAX_DURATION.as_millis() as f64;
    (milliseconds >= 1.0 && milliseconds <= longest).then(|| Duration::from_millis(milliseconds as u64))
}

/// Declares an enumeration with its names in JSON, in attributes and on the command line.
macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }
        impl $name {
            /// Every name, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),*];
            /// The name in JSON, attributes and flags.
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
            /// The variant of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

named_enum! {
    /// What the agent may do without asking. There is nobody to ask in a batch run: what would
    /// prompt is denied.
    PermissionMode {
        /// Read freely; anything else is denied unless `allowed_tools` grants it.
        Default = "default",
        /// File edits inside the working directory are granted.
        AcceptEdits = "accept_edits",
        /// Everything is granted. Refused by the CLI for root unless `IS_SANDBOX=1`.
        BypassPermissions = "bypass_permissions",
        /// What is not granted beforehand is denied.
        DontAsk = "dont_ask",
        /// Read only.
        Plan = "plan",
        /// The CLI's own classifier decides.
        Auto = "auto",
    }
}

named_enum! {
    /// How hard the model thinks.
    Effort {
        /// Low.
        Low = "low",
        /// Medium.
        Medium = "medium",
        /// High.
        High = "high",
        /// Extra high.
        Xhigh = "xhigh",
        /// The most the model gives.
        Max = "max",
    }
}

/// Whether the CLI makes a git worktree for the run. It is never removed by the CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Worktree {
    /// None (overrides a lower layer).
    Off,
    /// One with a name of the CLI's choice.
    Unnamed,
    /// One of this name, made or reused: `.claude/worktrees/<name>` on branch `worktree-<name>`.
    Named(String),
}

/// How much of the machine's own Claude configuration the run may see. Credentials are never sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hermetic {
    /// All of it (overrides a lower layer).
    Off,
    /// None of it: no user, project or local settings, no ambient MCP servers.
    Full,
    /// The user's, not the project's.
    Project,
}

impl PermissionMode {
    /// The wrapper's value for it.
    pub(crate) fn to_wrapper(self) -> wrapper::PermissionMode {
        match self {
            Self::Default => wrapper::PermissionMode::Default,
            Self::AcceptEdits => wrapper::PermissionMode::AcceptEdits,
            // The wrapper steers people to an environment variable instead; here the attribute
            // names the mode and (with untrusted input) must acknowledge it.
            #[allow(deprecated)]
            Self::BypassPermissions => wrapper::PermissionMode::BypassPermissions,
            Self::DontAsk => wrapper::PermissionMode::DontAsk,
            Self::Plan => wrapper::PermissionMode::Plan,
            Self::Auto => wrapper::PermissionMode::Auto,
        }
    }
}

impl Effort {
    /// The wrapper's value for it.
    pub(crate) fn to_wrapper(self) -> wrapper::Effort {
        match self {
            Self::Low => wrapper::Effort::Low,
            Self::Medium => wrapper::Effort::Medium,
            Self::High => wrapper::Effort::High,
            Self::Xhigh => wrapper::Effort::Xhigh,
            Self::Max => wrapper::Effort::Max,
        }
    }
}
