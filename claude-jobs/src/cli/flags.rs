//! The claude options as flags: one per row of the [table](crate::options), none named here.
//!
//! What a flag is given is turned into JSON and judged by the row's own check, so that a flag takes
//! exactly what a job's row takes.

use std::io::{IsTerminal, Read};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::exit::Problem;
use super::live;
use crate::options::{ArgMap, MAX_PROMPT_BYTES, ROWS, Row, Shape};

/// A prompt and the options that go with it: the job's own layer.
#[derive(Debug, clap::Args)]
pub(super) struct Layer {
    /// The prompt; `-` reads it from standard input. One that begins with `-` goes after `--`
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    #[command(flatten)]
    options: OptionFlags,
}

impl Layer {
    /// The options, with the prompt read from wherever it is.
    pub(super) fn read(self) -> Result<ArgMap, Problem> {
        if self.prompt.is_none() {
            return Err(Problem::usage(
                "PROMPT is missing: give the prompt, or `-` to read it from standard input",
            ));
        }
        self.read_if_given()
    }

    /// The same for a worker that may have a prompt of its own.
    pub(super) fn read_if_given(self) -> Result<ArgMap, Problem> {
        Ok(match self.prompt.as_deref() {
            None => self.options.0,
            Some("-") => self.options.0.prompt(read_prompt()?),
            Some(prompt) => self.options.0.prompt(prompt),
        })
    }
}

fn read_prompt() -> Result<String, Problem> {
    let refused = |why: String| Problem::usage(format!("cannot read the prompt from standard input: {why}"));
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        live::say("reading the prompt; end it with Ctrl-D");
    }
    // One byte more than is allowed tells that there is more, without reading it all.
    let most = MAX_PROMPT_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    stdin.by_ref().take(most).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    if bytes.len() > MAX_PROMPT_BYTES {
        return Err(refused(format!(
            "it is longer than {MAX_PROMPT_BYTES} bytes; put the material into files that the prompt names"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        refused(format!("it is not UTF-8 (at byte {}); convert it first", error.utf8_error().valid_up_to()))
    })
}

/// The options that were given as flags.
#[derive(Clone, Debug, Default)]
struct OptionFlags(ArgMap);

/// The rows that are flags. The prompt is the command's own argument.
fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| row.name != "prompt")
}

impl clap::Args for OptionFlags {
    fn augment_args(command: Command) -> Command {
        command.next_help_heading("Options for claude").args(rows().map(flag)).next_help_heading(None::<&str>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for OptionFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for row in rows() {
            let Some(values) = matches.get_many::<Value>(row.name) else { continue };
            self.0.set(row.name, joined(row, values.cloned()));
        }
        Ok(())
    }
}

fn flag(row: &'static Row) -> Arg {
    let flag = Arg::new(row.name)
        .long(row.name.replace('_', "-"))
        .value_name("VALUE")
        .help(row.doc.trim())
        .long_help(long_help(row))
        .value_parser(move |text: &str| parse(row, text));
    // `--max-turns -3` and `--timeout -5m` reach the row's check, which says what is wrong. Where any
    // text is right, a forgotten value must not swallow the next flag.
    let takes_any_text = row.is_valid(&Value::from("any text"));
    match row.shape {
        Shape::One => flag.allow_hyphen_values(!takes_any_text),
        Shape::Many => flag.action(ArgAction::Append),
        Shape::Flag => flag.num_args(0..=1).default_missing_value("true").value_name("true|false"),
        Shape::Optional => flag.num_args(0..=1).default_missing_value("true"),
    }
}

fn long_help(row: &Row) -> String {
    let repeat = match row.shape {
        Shape::Many => " Repeat the flag for each item; an empty text stands for the empty list.",
        _ => "",
    };
    format!("{}\n\nTakes {}.{repeat}", row.doc.trim(), row.expects)
}

/// The JSON that a flag's text stands for: the first reading of it that the row accepts. Each
/// occurrence of a repeatable flag is a list; an empty text is the empty one.
fn parse(row: &Row, text: &str) -> Result<Value, String> {
    if row.shape == Shape::Many {
        let items = if text.is_empty() { Value::from([""; 0]) } else { Value::from([text]) };
        let reason = || format!("takes {}; repeat the flag for each item", row.expects);
        return if row.is_valid(&items) { Ok(items) } else { Err(reason()) };
    }
    // A number or a truth value; objects are accepted as text.
    let scalar = serde_json::from_str(text).ok().filter(|json: &Value| json.is_number() || json.is_boolean());
    let readings = [scalar, Some(Value::from(text))];
    let accepted = readings.into_iter().flatten().find(|json| row.is_valid(json));
    accepted.ok_or_else(|| match row.shape {
        // The flag may have swallowed what was meant as the prompt.
        Shape::Flag | Shape::Optional => format!("takes {}; put the prompt first", row.expects),
        _ => format!("takes {}", row.expected(&Value::from(text))),
    })
}

/// The value of all occurrences of a flag.
fn joined(row: &Row, values: impl Iterator<Item = Value>) -> Value {
    match row.shape {
        Shape::Many => {
            let lists = values.filter_map(|list| list.as_array().cloned());
            Value::Array(lists.flatten().collect())
        }
        _ => values.last().unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests;
