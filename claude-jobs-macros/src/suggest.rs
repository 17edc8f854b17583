//! "Did you mean": the known name that is nearest to a misspelt one, and the message about an option
//! that does not exist.
//!
//! The names of the claude options come from the runtime crate with each question: this crate holds
//! no copy of them.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Ident, Token, parenthesized};

use crate::attr;

/// The largest edit distance at which two names count as near.
const NEAR: usize = 2;

/// The known name nearest to `name`, if one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= NEAR && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `: did you mean …?` or nothing, to follow the statement that a name is unknown.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!(": did you mean `{near}`?"))
}

/// Levenshtein's distance: how many letters to insert, remove or replace.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

/// What the runtime crate asks about: `name (field …) option …`.
struct UnknownOption {
    name: Ident,
    fields: Option<Vec<Ident>>,
    options: Vec<Ident>,
}

impl Parse for UnknownOption {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let fields = if input.peek(Token![_]) {
            input.parse::<Token![_]>()?;
            None
        } else {
            let content;
            parenthesized!(content in input);
            Some(names(&content)?)
        };
        Ok(Self { name, fields, options: names(input)? })
    }
}

fn names(input: ParseStream<'_>) -> syn::Result<Vec<Ident>> {
    let mut names = Vec::new();
    while !input.is_empty() {
        names.push(input.call(Ident::parse_any)?);
    }
    Ok(names)
}

/// The compile error about a name that is no claude option.
pub(crate) fn unknown_option(input: TokenStream) -> TokenStream {
    match syn::parse2::<UnknownOption>(input) {
        Ok(unknown) => syn::Error::new(unknown.name.span(), unknown.message()).to_compile_error(),
        Err(error) => error.to_compile_error(),
    }
}

impl UnknownOption {
    fn message(&self) -> String {
        let name = self.name.to_string();
        let fields: Vec<String> = self.fields.iter().flatten().map(ToString::to_string).collect();
        let options: Vec<String> = self.options.iter().map(ToString::to_string).collect();
        let near = did_you_mean(&name, fields.iter().chain(&options).map(String::as_str));

        if self.fields.is_some() {
            return format!("`{name}` is no field of this worker and no claude option{near}");
        }
        if attr::KEYS.contains(&name.as_str()) {
            return format!(
                "`{name}` is no claude option but a key of the attribute: \
                 write it outside the braces, as in `#[claude_worker({name} = …)]`"
            );
        }
        format!("unknown option `{name}`{near} (the docs of `claude_jobs::options` list them all)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [("", "", 0), ("queue", "queue", 0), ("queu", "queue", 1), ("kitten", "sitting", 3)];
        for (left, right, distance) in cases {
            assert_eq!(edit_distance(left, right), distance, "{left} {right}");
            assert_eq!(edit_distance(right, left), distance, "{right} {left}");
        }
    }

    #[test]
    fn the_nearest_name_wins_if_it_is_near() {
        let known = ["max_turns", "max_budget_usd", "model", "tools"];
        assert_eq!(nearest("max_turn", known), Some("max_turns"));
        assert_eq!(nearest("modle", known), Some("model"));
        assert_eq!(nearest("verbose", known), None);
        assert_eq!(nearest("ab", ["cd"]), None, "nothing in common is not near");
    }

    #[test]
    fn messages_name_the_way_out() {
        let message = |input: &str| {
            let tokens = input.parse::<TokenStream>().expect("tokens");
            syn::parse2::<UnknownOption>(tokens).expect("a question").message()
        };
        assert_eq!(
            message("max_turn _ model max_turns"),
            "unknown option `max_turn`: did you mean `max_turns`? (the docs of `claude_jobs::options` list them all)"
        );
        assert!(message("queue _ model").contains("outside the braces"));
        assert_eq!(
            message("titel (number title) model"),
            "`titel` is no field of this worker and no claude option: did you mean `title`?"
        );
    }
}
