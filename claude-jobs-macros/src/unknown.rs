//! What is said about a key or an option that does not exist.
//!
//! The names of the claude options come from the runtime crate with each question: this crate holds
//! no copy of them.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Ident, Token, parenthesized};

use crate::attr::KEYS;
use crate::suggest::{did_you_mean, nearest, snake_case};

/// What there is no name for, and what to do instead.
const NO_NAMES: &[(&str, &str)] = &[
    ("dangerously_skip_permissions", "write `permission_mode = \"bypass_permissions\"`"),
    ("allow_dangerously_skip_permissions", "write `permission_mode = \"bypass_permissions\"`"),
    ("print", "leave it out: every run is headless"),
    ("verbose", "leave it out: the runner says how claude is to report"),
    ("output_format", "leave it out: the runner says how claude is to report"),
    ("input_format", "leave it out: the runner says how claude is to read"),
    ("include_partial_messages", "leave it out: the runner says how claude is to report"),
    ("env", "set it where the runtime runs: jobs carry no environment"),
    ("api_key", "set it where the runtime runs: jobs carry no secrets"),
];

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
        let known = fields.iter().chain(&options).map(String::as_str);
        let near = did_you_mean(&name, known.clone());

        if self.fields.is_some() {
            return format!("`{name}` is no field of this worker and no claude option{near}");
        }
        if let Some(instead) = instead(&name) {
            return format!("`{name}` is no option: {instead}");
        }
        let key = KEYS.iter().find(|key| **key == name).copied();
        let key = key.or_else(|| nearest(&name, KEYS.iter().copied()).filter(|_| near.is_empty()));
        if let Some(key) = key {
            return format!(
                "`{name}` is no claude option but a key of the attribute: \
                 write it outside the braces, as in `#[claude_worker({key} = …)]`"
            );
        }
        format!("unknown option `{name}`{near} (the docs of `claude_jobs::options` list them all)")
    }
}

/// The compile error about a key that the attribute does not have: `name option …`.
pub(crate) fn unknown_key(input: TokenStream) -> TokenStream {
    match names.parse2(input).as_deref() {
        Ok([name, options @ ..]) => {
            syn::Error::new(name.span(), unknown_key_message(name, options)).to_compile_error()
        }
        Ok([]) => TokenStream::new(),
        Err(error) => error.to_compile_error(),
    }
}

fn unknown_key_message(name: &Ident, options: &[Ident]) -> String {
    let (name, keys) = (name.to_string(), KEYS.iter().copied());
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    let options = || options.iter().map(String::as_str);
    if let Some(instead) = instead(&name) {
        return format!("`{name}` is no key: {instead}");
    }
    if options().any(|option| option == name) {
        return format!("`{name}` is a claude option: write it in braces, as in `args = {{ {name} = … }}`");
    }
    // A key that is only alike gives way to an option that is the same in another spelling.
    let snake = snake_case(&name);
    if let Some(key) = nearest(&name, keys.clone()).filter(|_| !options().any(|option| option == snake)) {
        return format!("unknown key `{name}`: did you mean `{key}`?");
    }
    match nearest(&name, options()) {
        Some(option) => format!(
            "unknown key `{name}`: did you mean the claude option `{option}`, as in `args = {{ {option} = … }}`?"
        ),
        None => {
            let keys: Vec<_> = keys.map(|key| format!("`{key}`")).collect();
            format!(
                "unknown key `{name}` (the keys are {}; claude options stand in `args = {{ … }}`)",
                keys.join(", ")
            )
        }
    }
}

/// What to do about something that has no name here.
fn instead(name: &str) -> Option<&'static str> {
    let snake = snake_case(name);
    NO_NAMES.iter().find(|(no_name, _)| *no_name == snake).map(|(_, instead)| *instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys() {
        let message = |input: &str| {
            let names = names.parse_str(input).expect("names");
            unknown_key_message(&names[0], &names[1..])
        };
        let cases = [
            ("quue model", "unknown key `quue`: did you mean `queue`?"),
            ("maxAttempts model", "unknown key `maxAttempts`: did you mean `max_attempts`?"),
            ("retries model", "unknown key `retries`: did you mean `max_attempts`?"),
            ("model model", "`model` is a claude option: write it in braces, as in `args = { model = … }`"),
            (
                "maxTurns model max_turns",
                "unknown key `maxTurns`: did you mean the claude option `max_turns`, as in `args = { max_turns = … }`?",
            ),
            (
                "dangerously_skip_permissions model",
                "`dangerously_skip_permissions` is no key: write `permission_mode = \"bypass_permissions\"`",
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(message(input), expected, "{input}");
        }
        assert!(message("colour model").starts_with("unknown key `colour` (the keys are `queue`, `name`, "));
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
        assert!(message("retries _ model").ends_with("as in `#[claude_worker(max_attempts = …)]`"));
        assert_eq!(message("print _ model"), "`print` is no option: leave it out: every run is headless");
        assert_eq!(
            message("titel (number title) model"),
            "`titel` is no field of this worker and no claude option: did you mean `title`?"
        );
    }
}
