//! "Did you mean": the known name that is nearest to a misspelt one, and the message about an option
//! that does not exist.
//!
//! The names of the claude options come from the runtime crate with each question: this crate holds
//! no copy of them.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Ident, Token, parenthesized};

use crate::attr;

/// The largest edit distance at which two names count as near.
const NEAR: usize = 2;

/// What other tools, and the command line of claude, call something: the name that it has here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("cwd", "working_dir"),
    ("working_directory", "working_dir"),
    ("directory", "working_dir"),
    ("continue", "resume"),
    ("session", "session_id"),
    ("mcp_servers", "mcp_config"),
    ("budget", "max_budget_usd"),
    ("max_cost", "max_budget_usd"),
    ("tools_allowed", "allowed_tools"),
    ("retries", "max_attempts"),
    ("max_retries", "max_attempts"),
    ("schedule", "cron"),
    ("tz", "timezone"),
];

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

/// The known name nearest to `name`, if one is near: the same in another spelling (`maxTurns`), what others
/// call it, one or two letters off, or a part of it (`budget_usd`, `pri`).
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let snake = snake_case(name);
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == snake).map(|(_, name)| *name);
    let rank = |candidate: &str| {
        let distance = edit_distance(name, candidate).min(edit_distance(&snake, candidate));
        if candidate == snake || Some(candidate) == other {
            Some(0)
        } else if distance <= NEAR && distance < candidate.len() {
            Some(distance)
        } else {
            has_words(candidate, &snake).then_some(NEAR + 1)
        }
    };
    let ranked = known.into_iter().filter_map(|candidate| Some((rank(candidate)?, candidate)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, candidate)| candidate)
}

/// `maxTurns`, `Max-Turns` and `--max-turns` as `max_turns`.
pub(crate) fn snake_case(name: &str) -> String {
    let name = name.trim_start_matches('-');
    if !name.chars().any(char::is_lowercase) {
        return name.to_lowercase().replace('-', "_");
    }
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        match letter {
            '-' | ' ' => snake.push('_'),
            letter => snake.extend(letter.to_lowercase()),
        }
    }
    snake
}

/// Whether the name begins with these letters, or ends with these words.
fn has_words(name: &str, words: &str) -> bool {
    let is_end = words.len() >= 4 && name.strip_suffix(words).is_some_and(|rest| rest.ends_with('_'));
    is_end || words.len() >= 3 && name.starts_with(words)
}

/// What to do about something that has no name here.
fn instead(name: &str) -> Option<&'static str> {
    let snake = snake_case(name);
    NO_NAMES.iter().find(|(no_name, _)| *no_name == snake).map(|(_, instead)| *instead)
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
        let known = fields.iter().chain(&options).map(String::as_str);
        let near = did_you_mean(&name, known.clone());

        if self.fields.is_some() {
            return format!("`{name}` is no field of this worker and no claude option{near}");
        }
        if let Some(instead) = instead(&name) {
            return format!("`{name}` is no option: {instead}");
        }
        let key = attr::KEYS.iter().find(|key| **key == name).copied();
        let key = key.or_else(|| nearest(&name, attr::KEYS.iter().copied()).filter(|_| near.is_empty()));
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
    let (name, keys) = (name.to_string(), attr::KEYS.iter().copied());
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
        for spelling in ["maxTurns", "max-turns", "--max-turns", "MaxTurns", "MAX_TURNS", "turns"] {
            assert_eq!(nearest(spelling, known), Some("max_turns"), "{spelling}");
        }
        assert_eq!(nearest("max_cost", known), Some("max_budget_usd"));
        assert_eq!(nearest("max_budget", known), Some("max_budget_usd"));
        assert_eq!(nearest("ab", ["cd"]), None, "nothing in common is not near");
    }

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
