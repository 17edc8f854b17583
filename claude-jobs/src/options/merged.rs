//! [`Options`]: all layers merged and checked, ready for a run.

use std::collections::BTreeMap;
use std::fmt;

use claude_wrapper::QueryCommand;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::kind::{self, Hermetic, Kind, Worktree};
use super::{ArgMap, ROWS, for_each_option, row};

/// Why merged args cannot run: one sentence per option. The values are left out, because a message
/// may be shown where the job's contents may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidArgs(Vec<String>);

impl InvalidArgs {
    pub(crate) fn one(problem: impl Into<String>) -> Self {
        Self(vec![problem.into()])
    }

    /// The sentences, one per mistake.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for InvalidArgs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for InvalidArgs {}

macro_rules! options {
    ($($(#[$doc:meta])+ $name:ident: $kind:ident $(, |$query:ident, $value:ident| $apply:expr)?;)*) => {
        /// The options of one run: all layers merged, each value checked and typed.
        #[derive(Clone, Debug, Default)]
        #[non_exhaustive]
        pub struct Options {
            $($(#[$doc])+ pub $name: Option<<kind::$kind as Kind>::Value>,)*
            /// Whether the prompt holds text that is not to be trusted. No option: it follows from the
            /// worker's fields.
            pub(crate) is_untrusted: bool,
        }

        impl Options {
            fn decode(&mut self, name: &str, value: &Value) -> bool {
                match name {
                    $(stringify!($name) => {
                        self.$name = kind::$kind::decode(value);
                        self.$name.is_some()
                    })*
                    _ => false,
                }
            }

            /// The options as JSON, in the order of the table.
            pub fn to_json(&self) -> Map<String, Value> {
                let mut map = Map::new();
                $(if let Some(value) = &self.$name {
                    map.insert(stringify!($name).to_owned(), kind::$kind::encode(value));
                })*
                map
            }

            /// The claude command for these options, without what the runner itself decides (prompt,
            /// output format, directory, binary, limits in time).
            pub(crate) fn apply(&self, query: QueryCommand) -> QueryCommand {
                $($(
                    let query = match self.$name.clone() {
                        Some($value) => { let $query = query; $apply }
                        None => query,
                    };
                )?)*
                query
            }
        }
    };
}
for_each_option!(options);

/// Reads options from JSON by name; unknown names and wrong values are refused. A missing prompt is
/// not: it may be another layer's.
impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let layer = ArgMap::deserialize(deserializer)?;
        let (options, problems) = Self::decode_layers([&layer]);
        if problems.is_empty() { Ok(options) } else { Err(D::Error::custom(InvalidArgs(problems))) }
    }
}

impl Serialize for Options {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl Options {
    /// Merges layers, lowest first, and checks the result.
    ///
    /// # Errors
    ///
    /// Every mistake at once: unknown names (with the nearest known one), values of the wrong kind or
    /// out of range, contradictions between options, a missing prompt.
    pub fn merge<'layer>(layers: impl IntoIterator<Item = &'layer ArgMap>) -> Result<Self, InvalidArgs> {
        let (options, mut problems) = Self::decode_layers(layers);
        if options.prompt.is_none() && !problems.iter().any(|problem| problem.starts_with("`prompt`")) {
            problems.push("`prompt` is missing: give the job a prompt".to_owned());
        }
        if problems.is_empty() { Ok(options) } else { Err(InvalidArgs(problems)) }
    }

    /// Checks one layer by itself: what is set must be right, nothing must be set.
    ///
    /// # Errors
    ///
    /// As [`merge`](Self::merge), save the missing prompt.
    pub fn check_layer(layer: &ArgMap) -> Result<(), InvalidArgs> {
        let (_, problems) = Self::decode_layers([layer]);
        if problems.is_empty() { Ok(()) } else { Err(InvalidArgs(problems)) }
    }

    fn decode_layers<'layer>(layers: impl IntoIterator<Item = &'layer ArgMap>) -> (Self, Vec<String>) {
        // Only the highest layer's value counts, and so only that one is checked.
        let merged: BTreeMap<&str, &Value> = layers.into_iter().flat_map(ArgMap::iter).collect();
        let mut options = Self::default();
        let mut problems = Vec::new();
        for (name, value) in merged {
            if !options.decode(name, value) {
                problems.push(problem(name, value));
            }
        }
        problems.extend(options.contradictions().map(str::to_owned));
        (options, problems)
    }
}

fn problem(name: &str, value: &Value) -> String {
    match row(name) {
        Some(row) => format!("`{name}` takes {}", row.expected(value)),
        None => match nearest(name) {
            Some(known) => format!("unknown option `{name}`: did you mean `{known}`?"),
            None => format!("unknown option `{name}`"),
        },
    }
}

/// The known option whose name is at most two edits away.
fn nearest(name: &str) -> Option<&'static str> {
    ROWS.iter()
        .map(|row| (edits(name, row.name), row.name))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein distance.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests;
