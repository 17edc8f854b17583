//! [`problems`]: what is wrong with a text as the JSON Schema of claude's answer.
//!
//! A crate of its own, because `#[claude_worker]` refuses with it while a program compiles what a queue
//! would refuse when a job is inserted; a validator would take longer to compile than all macros. It is pure
//! and looks nothing up.
//!
//! The rules are those of the CLI (2.1.309 and 2.1.332), which refuses to start with a schema that breaks one: draft-07
//! of JSON Schema and its meta-schema; no keyword that the draft does not have; no keyword that is without
//! effect where it stands. One rule is the Messages API's: an answer is the input of a tool, and so an object.

use serde_json::{Map, Value};

mod keyword;

#[cfg(test)]
mod tests;

use keyword::Takes;

/// The URI that a schema may name as its own dialect.
const DRAFT: &str = "http://json-schema.org/draft-07/schema";

/// The types of draft-07.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// The most mistakes that are told of one schema.
const MOST: usize = 8;

/// What is wrong with the text, each with the place: `` `/properties/age/type`: … ``. Empty when claude
/// takes it as a schema.
pub fn problems(text: &str) -> Vec<String> {
    match serde_json::from_str(text) {
        Ok(schema) => problems_of(&schema),
        Err(error) => vec![format!("it is not JSON: {error}")],
    }
}

/// The same of a value.
pub fn problems_of(schema: &Value) -> Vec<String> {
    let Value::Object(root) = schema else {
        return vec!["a JSON Schema is an object here, such as `{\"type\": \"object\"}`".to_owned()];
    };
    let mut check = Check { root: schema, place: String::new(), problems: Vec::new() };
    check.object(root);
    check.root_is_an_object(root);
    check.problems.truncate(MOST);
    check.problems
}

/// Whether the draft has a keyword of this name.
pub fn is_keyword(name: &str) -> bool {
    keyword::takes(name).is_some()
}

/// A walk through a schema.
struct Check<'a> {
    root: &'a Value,
    /// A JSON pointer to where it is.
    place: String,
    problems: Vec<String>,
}

impl Check<'_> {
    fn problem(&mut self, what: impl Into<String>) {
        let what = what.into();
        let place = if self.place.is_empty() { "the root".to_owned() } else { format!("`{}`", self.place) };
        self.problems.push(format!("{place}: {what}"));
    }

    /// Goes one step down, to a key or an index.
    fn within(&mut self, step: &str, look: impl FnOnce(&mut Self)) {
        let length = self.place.len();
        self.place.push('/');
        self.place.push_str(&step.replace('~', "~0").replace('/', "~1"));
        look(self);
        self.place.truncate(length);
    }

    fn schema(&mut self, schema: &Value) {
        match schema {
            Value::Object(keywords) => self.object(keywords),
            Value::Bool(_) => {}
            _ => self.problem("a schema is an object, `true` or `false`"),
        }
    }

    fn object(&mut self, keywords: &Map<String, Value>) {
        for (name, value) in keywords {
            // Bounded work for a hostile schema.
            if self.problems.len() >= MOST {
                return;
            }
            match keyword::takes(name) {
                Some(takes) => self.within(name, |check| check.keyword(takes, value)),
                None => self.unknown(name),
            }
        }
        self.has_effect(keywords);
    }

    fn unknown(&mut self, name: &str) {
        let near =
            keyword::nearest(name).map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
        let shown: String = name.chars().take(60).collect();
        self.problem(format!(
            "draft-07 has no keyword `{shown}`{near} (claude refuses what it does not know)"
        ));
    }

    fn keyword(&mut self, takes: Takes, value: &Value) {
        match takes {
            Takes::Anything => {}
            Takes::Text if value.is_string() => {}
            Takes::Text => self.problem("takes text"),
            Takes::Dialect => self.dialect(value),
            Takes::Reference => self.reference(value),
            Takes::Flag if value.is_boolean() => {}
            Takes::Flag => self.problem("takes `true` or `false`"),
            Takes::Number if value.is_number() => {}
            Takes::Number => self.problem("takes a number"),
            Takes::Positive if value.as_f64().is_some_and(|number| number > 0.0) => {}
            Takes::Positive => self.problem("takes a number above 0"),
            Takes::Count if is_count(value) => {}
            Takes::Count => self.problem("takes a whole number from 0"),
            Takes::Types => self.types(value),
            Takes::Names => self.names(value),
            Takes::List if value.is_array() => {}
            Takes::List => self.problem("takes a list"),
            Takes::Choices => match value.as_array() {
                Some(choices) => self.different(choices, 1),
                None => self.problem("takes a list of the values there are"),
            },
            Takes::Schema => self.schema(value),
            Takes::Schemas => self.schemas(value),
            Takes::SchemaOrSchemas if value.is_array() => self.schemas(value),
            Takes::SchemaOrSchemas => self.schema(value),
            Takes::NamedSchemas => self.named(value, Self::schema),
            Takes::Dependencies => self.named(value, |check, value| match value {
                Value::Array(_) => check.names(value),
                _ => check.schema(value),
            }),
            Takes::Never(instead) => self.problem(instead),
        }
    }

    fn dialect(&mut self, value: &Value) {
        if value.as_str().is_none_or(|uri| uri.strip_suffix('#').unwrap_or(uri) != DRAFT) {
            self.problem(format!("claude reads draft-07: write `{DRAFT}#`, or leave it out"));
        }
    }

    /// Into the schema itself. One with an `$id` is left to claude.
    fn reference(&mut self, value: &Value) {
        let Some(reference) = value.as_str() else {
            return self.problem("takes text, such as `#/definitions/Name`");
        };
        if self.root.get("$id").is_some() {
            return;
        }
        match reference.strip_prefix('#') {
            Some(pointer) if is_schema(self.root.pointer(pointer)) => {}
            Some(_) => self.problem("there is no such schema in here"),
            None => {
                self.problem("claude fetches nothing: write a place in here, such as `#/definitions/Name`")
            }
        }
    }

    fn types(&mut self, value: &Value) {
        match value {
            Value::String(name) => self.one_type(name),
            Value::Array(names) => {
                self.different(names, 1);
                for (index, name) in names.iter().enumerate() {
                    self.within(&index.to_string(), |check| match name.as_str() {
                        Some(name) => check.one_type(name),
                        None => check.problem("takes the name of a type"),
                    });
                }
            }
            _ => self.problem("takes the name of a type, or a list of them"),
        }
    }

    fn one_type(&mut self, name: &str) {
        if !TYPES.contains(&name) {
            let shown: String = name.chars().take(60).collect();
            self.problem(format!("`{shown}` is not one of `{}`", TYPES.join("`, `")));
        }
    }

    fn names(&mut self, value: &Value) {
        match value.as_array() {
            Some(names) if names.iter().all(Value::is_string) => self.different(names, 0),
            _ => self.problem("takes a list of names in quotes"),
        }
    }

    fn different(&mut self, items: &[Value], least: usize) {
        if items.len() < least {
            return self.problem("is empty: name at least one, or leave it out");
        }
        let mut seen = std::collections::HashSet::new();
        if items.iter().any(|item| !seen.insert(item.to_string())) {
            self.problem("names one of them twice");
        }
    }

    fn schemas(&mut self, value: &Value) {
        match value.as_array() {
            Some(schemas) if schemas.is_empty() => self.problem("is empty: give at least one schema"),
            Some(schemas) => {
                for (index, schema) in schemas.iter().enumerate() {
                    self.within(&index.to_string(), |check| check.schema(schema));
                }
            }
            None => self.problem("takes a list of schemas"),
        }
    }

    fn named(&mut self, value: &Value, look: fn(&mut Self, &Value)) {
        let Some(entries) = value.as_object() else { return self.problem("takes an object, by name") };
        for (name, value) in entries {
            self.within(name, |check| look(check, value));
        }
    }

    /// What the CLI refuses as without effect.
    fn has_effect(&mut self, keywords: &Map<String, Value>) {
        let has = |name: &str| keywords.contains_key(name);
        let rules = [
            (has("if") && !has("then") && !has("else"), "`if` needs `then` or `else`"),
            ((has("then") || has("else")) && !has("if"), "`then` and `else` need `if`"),
            (
                has("additionalItems") && !keywords.get("items").is_some_and(Value::is_array),
                "`additionalItems` needs `items` to be a list of schemas",
            ),
        ];
        for (_, rule) in rules.into_iter().filter(|(is_broken, _)| *is_broken) {
            self.problem(rule);
        }
    }

    fn root_is_an_object(&mut self, root: &Map<String, Value>) {
        let may_be = match root.get("type") {
            None => true,
            Some(Value::Array(types)) => types.iter().any(|name| name == "object"),
            Some(name) => name == "object",
        };
        if !may_be && self.problems.is_empty() {
            self.problem(
                "claude answers with an object: put the value into one, as in \
                 `{\"type\": \"object\", \"properties\": {\"value\": …}, \"required\": [\"value\"]}`",
            );
        }
    }
}

fn is_count(value: &Value) -> bool {
    value.as_u64().is_some() || value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

fn is_schema(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.is_object() || value.is_boolean())
}
