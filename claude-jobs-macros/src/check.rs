//! The rules of a worker's definition that syntax alone can decide: one function each, each pointing
//! at the user's own tokens.
//!
//! Options and their values are not judged here: generated code calls their setters, and rustc
//! judges those.

use std::ops::RangeInclusive;

use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Data, DeriveInput, Expr, ExprLit, Field, Fields, Ident, Lit, LitInt, LitStr};

use crate::attr::Attr;
use crate::problems::Problems;
use crate::prompt;
use crate::suggest::did_you_mean;

/// The states of a job, as they are written, with the variants of `State`. Generated code names the
/// variants, so that this list cannot go astray.
pub(crate) const STATES: &[(&str, &str)] = &[
    ("scheduled", "Scheduled"),
    ("available", "Available"),
    ("executing", "Executing"),
    ("retryable", "Retryable"),
    ("completed", "Completed"),
    ("discarded", "Discarded"),
    ("cancelled", "Cancelled"),
];

/// Goes through all rules for the attribute.
pub(crate) fn attribute(attr: &Attr, fields: &[&Field], problems: &mut Problems) {
    queue_is_given(attr, problems);
    labels(attr, problems);
    ranges(attr, problems);
    unique_has_a_period(attr, problems);
    unique_by_names(attr, problems);
    unique_states(attr, problems);
    prompt_once(attr, problems);
    prompt_is_no_template(attr, problems);
    prompt_is_no_field(attr, fields, problems);
}

/// The item's fields, if it can be a worker: a struct without generics, a unit or with named fields.
pub(crate) fn fields<'a>(item: &'a DeriveInput, problems: &mut Problems) -> Option<Vec<&'a Field>> {
    if !has_no_generics(item, problems) {
        return None;
    }
    let name = &item.ident;
    let problem = match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Unit => return Some(Vec::new()),
            Fields::Named(named) => return Some(named.named.iter().collect()),
            Fields::Unnamed(_) => {
                format!(
                    "a worker's fields have names, because the job's input does: write `struct {name} {{ … }}`"
                )
            }
        },
        Data::Enum(_) => {
            format!("a worker is a struct: put the enum into a field, as in `struct {name}Job {{ … }}`")
        }
        Data::Union(_) => "a worker is a struct".to_owned(),
    };
    problems.at(name, problem);
    None
}

fn has_no_generics(item: &DeriveInput, problems: &mut Problems) -> bool {
    let problem = "a worker has no generics, because rows name one type: write a struct per type";
    if !item.generics.params.is_empty() {
        problems.at(&item.generics, problem);
        return false;
    }
    if let Some(clause) = &item.generics.where_clause {
        problems.at(clause, problem);
        return false;
    }
    true
}

fn queue_is_given(attr: &Attr, problems: &mut Problems) {
    if !attr.means("queue") {
        let message = "missing `queue`: say where the jobs wait, such as `queue = \"default\"`";
        problems.add(syn::Error::new(proc_macro2::Span::call_site(), message));
    }
}

fn labels(attr: &Attr, problems: &mut Problems) {
    label("queue", attr.queue.as_ref(), problems);
    label("name", attr.name.as_ref(), problems);
    for tag in attr.tags.iter().flatten() {
        label("tags", Some(tag), problems);
    }
}

fn label(key: &str, text: Option<&LitStr>, problems: &mut Problems) {
    let Some(text) = text else { return };
    let value = text.value();
    let fits = (1..=128).contains(&value.chars().count())
        && !value.chars().any(|character| character.is_whitespace() || character.is_control());
    if !fits {
        let rule = "1 to 128 characters, none of them white space or a control character";
        problems.at(text, format!("`{key}` takes {rule}"));
    }
}

fn ranges(attr: &Attr, problems: &mut Problems) {
    range("max_attempts", attr.max_attempts.as_ref(), 1..=1_000, problems);
    range("max_snoozes", attr.max_snoozes.as_ref(), 0..=1_000, problems);
    range("priority", attr.priority.as_ref(), 0..=9, problems);
}

fn range(key: &str, number: Option<&LitInt>, range: RangeInclusive<u32>, problems: &mut Problems) {
    let Some(number) = number else { return };
    if !number.base10_parse().is_ok_and(|number| range.contains(&number)) {
        problems
            .at(number, format!("`{key}` takes a whole number from {} to {}", range.start(), range.end()));
    }
}

fn unique_has_a_period(attr: &Attr, problems: &mut Problems) {
    if attr.key("unique_period").is_some() {
        return;
    }
    for key in ["unique_by", "unique_states"].into_iter().filter_map(|key| attr.key(key)) {
        problems.at(key, format!("`{key}` needs `unique_period`, such as `unique_period = \"5m\"`"));
    }
}

fn unique_by_names(attr: &Attr, problems: &mut Problems) {
    let Some(names) = &attr.unique_by else { return };
    not_empty("unique_by", names, "`\"args\"`", attr, problems);
    for name in names {
        if field_name(name).is_none() {
            let takes = "`\"worker\"`, `\"queue\"`, `\"args\"` and names of fields and options";
            problems.at(name, format!("`unique_by` takes {takes}"));
        }
    }
}

/// The text as an identifier at the text's place, if it is one.
pub(crate) fn field_name(text: &LitStr) -> Option<Ident> {
    let mut name = Ident::parse_any.parse_str(&text.value()).ok()?;
    name.set_span(text.span());
    Some(name)
}

fn unique_states(attr: &Attr, problems: &mut Problems) {
    let Some(states) = &attr.unique_states else { return };
    not_empty("unique_states", states, "`\"available\"`", attr, problems);
    for state in states {
        if state_variant(state).is_none() {
            let near = did_you_mean(&state.value(), STATES.iter().map(|(name, _)| *name));
            let known: Vec<_> = STATES.iter().map(|(name, _)| format!("`{name}`")).collect();
            problems.at(state, format!("unknown state{near} (the states are {})", known.join(", ")));
        }
    }
}

/// The state of that name as the variant of `State`, at the text's place.
pub(crate) fn state_variant(text: &LitStr) -> Option<Ident> {
    let (_, variant) = STATES.iter().find(|(name, _)| *name == text.value())?;
    Some(Ident::new(variant, text.span()))
}

fn not_empty(key: &str, list: &[LitStr], example: &str, attr: &Attr, problems: &mut Problems) {
    if list.is_empty()
        && let Some(tokens) = attr.key(key)
    {
        problems
            .at(tokens, format!("`{key}` is empty: name at least one, such as {example}, or leave it out"));
    }
}

fn prompt_once(attr: &Attr, problems: &mut Problems) {
    if attr.key("prompt").is_none() {
        return;
    }
    for (layer, key) in [("args", attr.args.key("prompt")), ("pinned_args", attr.pinned_args.key("prompt"))] {
        if let Some(key) = key {
            problems
                .at(key, format!("the prompt is given twice: drop this one or `prompt` outside `{layer}`"));
        }
    }
}

fn prompt_is_no_template(attr: &Attr, problems: &mut Problems) {
    if let Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) = &attr.prompt
        && prompt::unescaped(&text.value()).is_none()
    {
        problems.at(
            text,
            "prompt templates are not supported yet: write `{{` and `}}` for braces, \
             or leave `prompt` out and pass the rendered prompt to `new`",
        );
    }
}

fn prompt_is_no_field(attr: &Attr, fields: &[&Field], problems: &mut Problems) {
    if !takes_prompt(attr) {
        return;
    }
    for name in fields.iter().filter_map(|field| field.ident.as_ref()) {
        if name == "prompt" {
            let message = "`new` takes the job's prompt already: remove this field, or give it another name";
            problems.at(name, message);
        }
    }
}

/// Whether `new` takes the prompt: nothing in the attribute sets it. What a base sets cannot be seen.
pub(crate) fn takes_prompt(attr: &Attr) -> bool {
    !attr.means("prompt") && !attr.args.has("prompt") && !attr.pinned_args.has("prompt")
}

#[cfg(test)]
mod tests;
