//! Typed output: the JSON Schema of a worker's `output = Type`, and whether an answer is one.
//!
//! | step | what |
//! |---|---|
//! | [`OutputSchema::of`] | the type's schema in the dialect that the CLI takes, made once per worker |
//! | [`OutputSchema::read`] | claude's structured answer, validated and then deserialised |
//! | [`Mismatch`] | what is wrong with an answer: in the schema's words for errors, in full for claude |
//!
//! Pure: no run, no database. An answer's contents never reach a log or an error column through here.

use std::fmt;

use jsonschema::{Draft, Validator};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::definition::Definition;
use crate::error::{Error, Result};
use crate::options::{ArgMap, InvalidArgs, MAX_ARGUMENT_BYTES};
use crate::outcome::Run;

mod mismatch;

pub use mismatch::Mismatch;

#[cfg(test)]
mod tests;

/// What `output = Type` takes: any type that describes itself (`schemars::JsonSchema`) and can be read
/// (`serde::Deserialize`).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the `output` of a worker",
    label = "claude needs a JSON Schema of this type, and the handler the type itself",
    note = "write `#[derive(Deserialize, JsonSchema)]` on it and on the types in it: `serde::Deserialize` and `schemars::JsonSchema` \
            (of schemars 1), both in `claude_jobs::prelude`"
)]
pub trait Output: JsonSchema + DeserializeOwned + 'static {}

// Without the line below, rustc would tell each missing derive apart, and not that both are needed.
#[diagnostic::do_not_recommend]
impl<T: JsonSchema + DeserializeOwned + 'static> Output for T {}

/// What a worker's `output = Type` says.
#[derive(Clone, Copy, Debug)]
pub struct OutputType {
    /// The type, as the attribute writes it.
    pub name: &'static str,
    /// Its schema, made at the first call; or why there is none.
    pub schema: fn() -> Result<&'static OutputSchema, String>,
    /// What is wrong with the answer of a successful run.
    pub mismatch: fn(&Run) -> Option<Mismatch>,
}

impl OutputType {
    /// The text for the option `json_schema`. A job cannot give one of its own.
    pub(crate) fn json_schema(&self, job: &ArgMap) -> Result<&'static str, InvalidArgs> {
        if job.get("json_schema").is_some() {
            let given =
                format!("`json_schema` is the worker's: it has `output = {}`, so leave it out", self.name);
            return Err(InvalidArgs::one(given));
        }
        let schema = (self.schema)().map_err(|problem| InvalidArgs::one(format!("`output`: {problem}")))?;
        Ok(schema.text())
    }
}

/// Makes the schemas of all workers that have an output.
pub(crate) fn check<'a>(workers: impl Iterator<Item = &'a Definition>) -> Result<()> {
    for worker in workers {
        if let Some(Err(problem)) = worker.output.map(|output| (output.schema)()) {
            let place = format!("worker `{}` ({})", worker.name, worker.defined_at);
            return Err(Error::Configuration(format!("{place}: `output`: {problem}")));
        }
    }
    Ok(())
}

/// The JSON Schema of a type, as claude gets it, and the validator that holds its answers to it.
#[derive(Debug)]
pub struct OutputSchema {
    text: String,
    validator: Validator,
    /// Whether the answer is in `value`, because the type itself is no JSON object.
    is_wrapped: bool,
}

impl OutputSchema {
    /// The schema of a type: draft-07, the schemas of its parts written out in place (a type that contains
    /// itself, and one that would grow too long, keep `$ref`). A type that is not a JSON object by itself (an
    /// enum, a list, text) is put into one: `{"value": …}`.
    ///
    /// # Errors
    ///
    /// A sentence: the schema does not fit on a command line, or is none that claude takes.
    pub fn of<T: JsonSchema>() -> Result<Self, String> {
        let (schema, is_wrapped) = schema_of::<T>(true);
        let mut text = schema.to_string();
        let mut schema = schema;
        if text.len() > MAX_ARGUMENT_BYTES {
            (schema, _) = schema_of::<T>(false);
            text = schema.to_string();
        }
        if text.len() > MAX_ARGUMENT_BYTES {
            return Err(format!(
                "the JSON Schema of `{}` has {} bytes, and one argument of a command line takes \
                 {MAX_ARGUMENT_BYTES}: shorten its descriptions, or leave parts of it open as \
                 `serde_json::Value`",
                T::schema_name(),
                text.len(),
            ));
        }
        let problems = claude_jobs_json_schema::problems_of(&schema);
        if !problems.is_empty() {
            let name = T::schema_name();
            return Err(format!("claude does not take the JSON Schema of `{name}`: {}", problems.join("; ")));
        }
        let validator = jsonschema::options()
            .with_draft(Draft::Draft7)
            .should_validate_formats(true)
            .offline()
            .build(&schema)
            .map_err(|error| format!("the JSON Schema of `{}` cannot be used: {error}", T::schema_name()))?;
        Ok(Self { text, validator, is_wrapped })
    }

    /// The schema as it is sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether claude answers with `{"value": …}`, because the type itself is no JSON object.
    pub fn is_wrapped(&self) -> bool {
        self.is_wrapped
    }

    /// The type, from claude's structured answer: validated, then deserialised.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer.
    pub fn read<T: DeserializeOwned>(&self, structured: Option<&Value>) -> Result<T, Mismatch> {
        let answer = structured.filter(|answer| !answer.is_null()).ok_or_else(Mismatch::missing)?;
        if mismatch::is_too_deep(answer) {
            return Err(Mismatch::too_deep());
        }
        if !self.validator.is_valid(answer) {
            return Err(Mismatch::invalid(self.validator.iter_errors(answer)));
        }
        let answer = if self.is_wrapped { &answer["value"] } else { answer };
        T::deserialize(answer).map_err(|error| Mismatch::unreadable(&error))
    }
}

/// The type's schema, and whether it is that of `{"value": …}`.
fn schema_of<T: JsonSchema>(is_inlined: bool) -> (Value, bool) {
    let schema = generator(is_inlined).into_root_schema_for::<T>();
    if is_plain_object(&schema) {
        return (schema.to_value(), false);
    }
    let mut wrapped = generator(is_inlined).into_root_schema_for::<Wrapped<T>>();
    wrapped.remove("title");
    (wrapped.to_value(), true)
}

fn generator(is_inlined: bool) -> SchemaGenerator {
    let settings = SchemaSettings::draft07().with(|settings| {
        // It is the dialect that the CLI goes by anyway.
        settings.meta_schema = None;
        settings.inline_subschemas = is_inlined;
    });
    settings.with_transform(RecursiveTransform(without_other_keywords)).into_generator()
}

/// The CLI refuses schemas with keywords that it does not know; to a validator they say nothing.
fn without_other_keywords(schema: &mut Schema) {
    if let Some(keywords) = schema.as_object_mut() {
        keywords.retain(|name, _| claude_jobs_json_schema::is_keyword(name));
    }
}

/// Claude hands its answer in as a tool's input, which is an object; a choice at the root is put into one as
/// well, because the API takes no other schema for a tool than one that lists properties.
fn is_plain_object(schema: &Schema) -> bool {
    let has = |keyword: &str| schema.get(keyword).is_some();
    schema.get("type").is_some_and(|name| name == "object")
        && !["oneOf", "anyOf", "allOf", "$ref"].iter().any(|it| has(it))
}

/// Describes `{"value": T}`.
struct Wrapped<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Wrapped<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Wrapped_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": { "value": generator.subschema_for::<T>() },
            "required": ["value"],
        })
    }
}

impl fmt::Display for OutputSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
