//! The rules of a worker's definition that syntax alone can decide: one function each, each pointing
//! at the user's own tokens.
//!
//! Options and their values are not judged here: generated code calls their setters, and rustc
//! judges those.

use std::ops::RangeInclusive;

use claude_jobs_schedule::Schedule;
use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Data, DeriveInput, Field, Fields, Ident, Item, LitInt, LitStr};

use crate::attr::Attr;
use crate::fields::is_ours;
use crate::output;
use crate::problems::Problems;
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

/// What becomes of missed ticks, as it is written, with the variants of `Missed`.
pub(crate) const MISSED: &[(&str, &str)] = &[("skip", "Skip"), ("one", "One"), ("all", "All")];

/// What becomes of a tick while an earlier one's job is not over, with the variants of `IfBusy`.
pub(crate) const IF_BUSY: &[(&str, &str)] = &[("queue", "Queue"), ("skip", "Skip")];

/// What becomes of a job whose attempt was interrupted, with the variants of `OnLost`.
pub(crate) const ON_LOST: &[(&str, &str)] =
    &[("resume", "Resume"), ("retry", "Retry"), ("hold", "Hold"), ("cancel", "Cancel")];

/// Where a retry goes on, with the variants of `RetryFrom`.
pub(crate) const RETRY_FROM: &[(&str, &str)] = &[("session", "Session"), ("start", "Start")];

/// Goes through all rules for the attribute.
pub(crate) fn attribute(attr: &Attr, fields: &[&Field], problems: &mut Problems) {
    queue_is_given(attr, problems);
    labels(attr, problems);
    ranges(attr, problems);
    unique_has_a_period(attr, problems);
    unique_by_names(attr, problems);
    unique_states(attr, problems);
    concurrency_key_is_a_name(attr, problems);
    interruptions_are_known(attr, problems);
    prompt_once(attr, problems);
    pinned_once(attr, problems);
    prompt_is_no_field(attr, fields, problems);
    output::has_no_schema_beside(attr, problems);
    schedule_can_be_read(attr, problems);
    schedule_has_a_cron(attr, problems);
    schedule_needs_no_input(attr, fields, problems);
    schedule_has_a_prompt(attr, problems);
}

/// What is wrong with an item that is no type.
pub(crate) fn no_struct(item: &TokenStream) -> syn::Error {
    let (kind, at) = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Fn(function)) => ("a function", function.sig.ident.span()),
        Ok(Item::Impl(block)) => ("an impl", block.impl_token.span),
        Ok(Item::Trait(item)) => ("a trait", item.ident.span()),
        Ok(Item::Mod(item)) => ("a module", item.ident.span()),
        Ok(Item::Type(item)) => ("a type alias", item.ident.span()),
        Ok(Item::Const(item)) => ("a constant", item.ident.span()),
        _ => ("no struct", Span::call_site()),
    };
    syn::Error::new(
        at,
        format!("`#[claude_worker]` goes on a struct, this is {kind}: put it on a struct of the job's input"),
    )
}

/// Takes off attributes of the item that would only bring further errors.
pub(crate) fn attributes(item: &mut DeriveInput, problems: &mut Problems) {
    item.attrs.retain(|attr| {
        let is_second = attr.path().segments.last().is_some_and(|last| last.ident == "claude_worker");
        if is_second {
            problems.at(attr, "`#[claude_worker]` is given twice: keep one, with the keys of both");
        }
        let is_of_a_field = is_ours(attr);
        if is_of_a_field {
            let name = attr.path().to_token_stream();
            problems.at(attr, format!("`#[{name}]` marks a field: put it before the field"));
        }
        !is_second && !is_of_a_field
    });
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
        Data::Union(_) => "a worker is a struct: a union cannot be written as JSON".to_owned(),
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
        problems.add(syn::Error::new(Span::call_site(), message));
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
    range("max_interruptions", attr.max_interruptions.as_ref(), 0..=1_000, problems);
    range("max_handler_attempts", attr.max_handler_attempts.as_ref(), 1..=1_000, problems);
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
    not_empty("unique_states", states, "`\"scheduled\"` and `\"available\"`", attr, problems);
    for state in states {
        if variant(state, STATES).is_none() {
            let (near, known) = known_names(state, STATES);
            problems.at(state, format!("unknown state{near} (the states are {known})"));
        }
    }
    let are_known = !states.is_empty() && states.iter().all(|state| variant(state, STATES).is_some());
    let waits = |needed: &str| states.iter().any(|state| state.value() == needed);
    if are_known
        && !(waits("scheduled") && waits("available"))
        && let Some(tokens) = attr.key("unique_states")
    {
        let why = "a job that does not count while it waits could never be found";
        problems.at(tokens, format!("`unique_states` must name `scheduled` and `available`: {why}"));
    }
}

/// The value of that name as a variant, at the text's place.
pub(crate) fn variant(text: &LitStr, known: &[(&str, &str)]) -> Option<Ident> {
    let (_, variant) = known.iter().find(|(name, _)| *name == text.value())?;
    Some(Ident::new(variant, text.span()))
}

/// The known name that is near, and all of them.
fn known_names(text: &LitStr, known: &[(&str, &str)]) -> (String, String) {
    let near = did_you_mean(&text.value(), known.iter().map(|(name, _)| *name));
    let names: Vec<_> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
    (near, names.join(", "))
}

/// One of a few words.
fn one_of(key: &str, text: Option<&LitStr>, known: &[(&str, &str)], problems: &mut Problems) {
    let Some(text) = text else { return };
    if variant(text, known).is_none() {
        let (near, known) = known_names(text, known);
        problems.at(text, format!("unknown `{key}`{near} (it takes {known})"));
    }
}

fn interruptions_are_known(attr: &Attr, problems: &mut Problems) {
    one_of("on_lost", attr.on_lost.as_ref(), ON_LOST, problems);
    one_of("retry_from", attr.retry_from.as_ref(), RETRY_FROM, problems);
}

fn concurrency_key_is_a_name(attr: &Attr, problems: &mut Problems) {
    if let Some(name) = &attr.concurrency_key
        && field_name(name).is_none()
    {
        problems.at(name, "`concurrency_key` takes the name of a field or an option");
    }
}

/// By the parser of the runtime, so that what compiles is what it serves.
fn schedule_can_be_read(attr: &Attr, problems: &mut Problems) {
    if let Some(cron) = &attr.cron
        && let Err(problem) = Schedule::parse(&cron.value(), "UTC")
    {
        problems.at(cron, problem);
    }
    if let Some(timezone) = &attr.timezone
        && let Err(problem) = Schedule::parse("@daily", &timezone.value())
    {
        problems.at(timezone, problem);
    }
    one_of("missed", attr.missed.as_ref(), MISSED, problems);
    one_of("if_busy", attr.if_busy.as_ref(), IF_BUSY, problems);
}

fn schedule_has_a_cron(attr: &Attr, problems: &mut Problems) {
    if attr.means("cron") {
        return;
    }
    for key in ["timezone", "missed", "if_busy"].into_iter().filter_map(|key| attr.key(key)) {
        problems.at(key, format!("`{key}` needs `cron`, such as `cron = \"0 9 * * *\"`"));
    }
}

fn schedule_needs_no_input(attr: &Attr, fields: &[&Field], problems: &mut Problems) {
    if let Some(cron) = attr.key("cron")
        && !fields.is_empty()
    {
        let remedy = "remove the fields, or schedule such jobs with `RuntimeBuilder::cron`";
        problems.at(cron, format!("a schedule has no values for the worker's fields: {remedy}"));
    }
}

/// What a base sets cannot be seen: generated code looks there.
fn schedule_has_a_prompt(attr: &Attr, problems: &mut Problems) {
    if let Some(cron) = attr.key("cron")
        && takes_prompt(attr)
        && !attr.args.has_base()
        && !attr.pinned_args.has_base()
    {
        problems.at(cron, "a schedule has no prompt to give: add `prompt = \"…\"` to the worker");
    }
}

fn not_empty(key: &str, list: &[LitStr], example: &str, attr: &Attr, problems: &mut Problems) {
    if list.is_empty()
        && let Some(tokens) = attr.key(key)
    {
        problems
            .at(tokens, format!("`{key}` is empty: name at least one, such as {example}, or leave it out"));
    }
}

/// What is pinned always wins, so that the same key in `args` would never count.
fn pinned_once(attr: &Attr, problems: &mut Problems) {
    for key in attr.args.keys().filter(|key| attr.pinned_args.has(&key.to_string())) {
        problems.at(key, format!("`{key}` is in `pinned_args` too, which always wins: keep one"));
    }
}

fn prompt_once(attr: &Attr, problems: &mut Problems) {
    if let (Some(_), Some(file)) = (attr.key("prompt"), attr.key("prompt_file")) {
        problems.at(file, "the prompt is given twice: keep `prompt` or `prompt_file`");
    }
    let Some(outside) = ["prompt", "prompt_file"].into_iter().find(|key| attr.key(key).is_some()) else {
        return;
    };
    for (layer, key) in [("args", attr.args.key("prompt")), ("pinned_args", attr.pinned_args.key("prompt"))] {
        if let Some(key) = key {
            problems.at(
                key,
                format!("the prompt is given twice: drop this one or `{outside}` outside `{layer}`"),
            );
        }
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
    !attr.means("prompt")
        && !attr.means("prompt_file")
        && !attr.args.has("prompt")
        && !attr.pinned_args.has("prompt")
}

#[cfg(test)]
mod tests;
