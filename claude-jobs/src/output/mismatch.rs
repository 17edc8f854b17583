//! [`Mismatch`]: what is wrong with an answer, in two languages: without a word of the answer for errors and
//! logs, and with its values for claude, who wrote it.

use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// The most mistakes that are told of one answer.
const MOST: usize = 20;

/// The most places that an error message names.
const MOST_SHOWN: usize = 3;

/// The longest description of one mistake, in characters.
const LONGEST: usize = 300;

/// The deepest answer that is looked at; as much as a reader of JSON takes.
const DEEPEST: usize = 128;

/// What is wrong with an answer. Its `Display` names places of the schema only, never what stands in the
/// answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// For errors and logs.
    summary: String,
    /// For claude: a line per mistake.
    details: Vec<String>,
}

impl Mismatch {
    /// No structured answer came.
    pub(crate) fn missing() -> Self {
        Self::plain("no structured answer came")
    }

    /// What the CLI said about answers that it refused itself. Its own words quote the schema only.
    pub(crate) fn refused(said: &str) -> Self {
        Self::plain(&shortened(said))
    }

    pub(super) fn too_deep() -> Self {
        Self::plain("the answer is nested deeper than 128 levels")
    }

    fn plain(text: &str) -> Self {
        Self { summary: text.to_owned(), details: vec![text.to_owned()] }
    }

    /// The answer breaks the schema.
    pub(super) fn invalid<'a>(errors: impl Iterator<Item = ValidationError<'a>>) -> Self {
        let mut places: Vec<String> = Vec::new();
        let mut details = Vec::new();
        for error in errors.take(MOST) {
            let place = shortened(&format!("`{}`", error.schema_path()));
            if !places.contains(&place) {
                places.push(place);
            }
            describe(&error, &mut details);
        }
        details.truncate(MOST);
        let others = places.len().saturating_sub(MOST_SHOWN);
        places.truncate(MOST_SHOWN);
        let more = if others > 0 { " and other places" } else { "" };
        Self { summary: format!("the answer breaks {}{more} of the JSON Schema", places.join(", ")), details }
    }

    /// The answer fits the schema, and still is none of the type.
    pub(super) fn unreadable(error: &serde_json::Error) -> Self {
        let said = error.to_string();
        // The name of a field that is not there comes from the type; any other text may quote the answer.
        let field = said.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        let summary = match field {
            Some((field, _)) => format!("the answer fits the JSON Schema, but has no field `{field}`"),
            None => "the answer fits the JSON Schema, but cannot be deserialised".to_owned(),
        };
        Self { summary, details: vec![shortened(&said)] }
    }

    /// What is wrong, a line per mistake, for claude only: it quotes the answer.
    pub(crate) fn details(&self) -> &[String] {
        &self.details
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.summary)
    }
}

impl std::error::Error for Mismatch {}

/// One mistake; where none of several alternatives fits, what each one misses.
fn describe(error: &ValidationError<'_>, lines: &mut Vec<String>) {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "the whole answer".to_owned() } else { format!("`{path}`") };
    lines.push(shortened(&format!("{place}: {error}")));
    let (ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context }) =
        error.kind()
    else {
        return;
    };
    for (index, branch) in context.iter().enumerate() {
        for error in branch.iter().take(2) {
            if lines.len() >= MOST {
                return;
            }
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { path.clone() } else { place };
            lines.push(shortened(&format!("{place} (as alternative {}): {error}", index + 1)));
        }
    }
}

fn shortened(text: &str) -> String {
    let mut characters = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    let mut short: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

/// Whether an answer is nested too deep for those who look at it by recursion.
pub(super) fn is_too_deep(answer: &Value) -> bool {
    let mut level = vec![answer];
    for _ in 0..DEEPEST {
        let inner = level.iter().flat_map(|value| match value {
            Value::Array(items) => items.iter().collect::<Vec<_>>(),
            Value::Object(fields) => fields.values().collect(),
            _ => Vec::new(),
        });
        level = inner.filter(|value| value.is_array() || value.is_object()).collect();
        if level.is_empty() {
            return false;
        }
    }
    true
}
