//! The grammar of `#[claude_worker(…)]`: one struct, [`Attr`], with a field per key.
//!
//! Reading takes every token and records each mistake on the way; what the values may be together,
//! and in which range, is said in [`check`](crate::check).

use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprLit, Ident, Lit, LitInt, LitStr, Path, Token, Type};

use crate::layer::{Layer, at_key, each_item, given_twice, read_equals, read_key, skip_item, ungrouped};
use crate::problems::Problems;
use crate::prompt_file::PromptFile;
use crate::suggest::nearest;
use crate::template;
use crate::text::Text;

/// Every key of the attribute.
pub(crate) const KEYS: &[&str] = &[
    "queue",
    "name",
    "max_attempts",
    "max_snoozes",
    "priority",
    "unique_period",
    "unique_by",
    "unique_states",
    "tags",
    "prompt",
    "prompt_file",
    "allow_untrusted_writes",
    "require_mcp",
    "args",
    "pinned_args",
    "output",
    "state",
    "classifier",
    "backoff",
    "on_lost",
    "retry_from",
    "max_interruptions",
    "max_handler_attempts",
    "concurrency_key",
    "cron",
    "timezone",
    "missed",
    "if_busy",
    "crate",
];

/// The attribute as the user wrote it. A value of the wrong kind is recorded as a problem and left out.
#[derive(Default)]
pub(crate) struct Attr {
    /// Which keys stand there, in order, whether their values can be used or not.
    keys: Vec<Ident>,
    /// Which of them there are none of. The runtime crate says whether one is an option.
    pub(crate) unknown: Vec<Ident>,
    /// `queue = "review"`: where the jobs wait. Required.
    pub(crate) queue: Option<LitStr>,
    /// `name = "pr-review"`: the stable name in the rows. Default: the type's name.
    pub(crate) name: Option<LitStr>,
    /// `max_attempts = 3`.
    pub(crate) max_attempts: Option<LitInt>,
    /// `max_snoozes = 3`.
    pub(crate) max_snoozes: Option<LitInt>,
    /// `priority = 0`: 0 (first) to 9 (last).
    pub(crate) priority: Option<LitInt>,
    /// `unique_period = 60` or `unique_period = "5m"`.
    pub(crate) unique_period: Option<Lit>,
    /// `unique_by = ["worker", "number"]`.
    pub(crate) unique_by: Option<Vec<LitStr>>,
    /// `unique_states = ["scheduled", "available", "executing"]`.
    pub(crate) unique_states: Option<Vec<LitStr>>,
    /// `tags = ["nightly"]`.
    pub(crate) tags: Option<Vec<LitStr>>,
    /// `prompt = "…"`, or a constant expression such as `include_str!("prompt.md")`.
    pub(crate) prompt: Option<Expr>,
    /// `prompt_file = "prompts/review.md"`.
    pub(crate) prompt_file: Option<PromptFile>,
    /// `allow_untrusted_writes`.
    pub(crate) allow_untrusted_writes: bool,
    /// `require_mcp`.
    pub(crate) require_mcp: bool,
    /// `args = { key = value, …, ..BASE }`: options beneath the job's own.
    pub(crate) args: Layer,
    /// `pinned_args = { … }`: options over the job's own.
    pub(crate) pinned_args: Layer,
    /// `output = Type`: what claude answers with.
    pub(crate) output: Option<Type>,
    /// `state = Type`: what the handler takes from the runtime.
    pub(crate) state: Option<Type>,
    /// `classifier = path`: a `fn(&Run) -> Verdict`.
    pub(crate) classifier: Option<Path>,
    /// `backoff = path`: a `fn(u32) -> Duration`.
    pub(crate) backoff: Option<Path>,
    /// `on_lost = "resume"`.
    pub(crate) on_lost: Option<LitStr>,
    /// `retry_from = "session"`.
    pub(crate) retry_from: Option<LitStr>,
    /// `max_interruptions = 5`.
    pub(crate) max_interruptions: Option<LitInt>,
    /// `max_handler_attempts = 5`.
    pub(crate) max_handler_attempts: Option<LitInt>,
    /// `concurrency_key = "repository"`: a field or an option.
    pub(crate) concurrency_key: Option<LitStr>,
    /// `cron = "0 9 * * *"`.
    pub(crate) cron: Option<LitStr>,
    /// `timezone = "Europe/Berlin"`.
    pub(crate) timezone: Option<LitStr>,
    /// `missed = "skip"`.
    pub(crate) missed: Option<LitStr>,
    /// `if_busy = "queue"`.
    pub(crate) if_busy: Option<LitStr>,
    /// `crate = path`: the runtime crate under another name.
    pub(crate) krate: Option<Path>,
}

impl Attr {
    /// Reads the attribute's tokens.
    pub(crate) fn read(tokens: TokenStream, problems: &mut Problems) -> Self {
        let mut attr = Self::default();
        let read = |input: ParseStream<'_>| {
            each_item(input, problems, |input, problems| attr.read_item(input, problems));
            Ok(())
        };
        if let Err(error) = read.parse2(tokens) {
            problems.add(error);
        }
        attr
    }

    /// The key of that name as the user wrote it, if it stands there.
    pub(crate) fn key(&self, name: &str) -> Option<&Ident> {
        self.keys.iter().find(|key| *key == name)
    }

    /// Whether that key stands there, misspelt or not: one slip shall not look like two.
    pub(crate) fn means(&self, name: &str) -> bool {
        self.keys.iter().any(|key| nearest(&key.to_string(), KEYS.iter().copied()) == Some(name))
    }

    /// Every text that may hold placeholders, with the option it is for.
    pub(crate) fn texts(&self) -> Vec<Text<'_>> {
        let prompt = || "prompt".to_owned();
        let literal = self.prompt.as_ref().and_then(template::text_literal);
        let literal = literal.map(|literal| Text { option: prompt(), literal, file: None });
        let file = self.prompt_file.as_ref();
        let file = file.map(|file| Text { option: prompt(), literal: &file.text, file: Some(&file.path) });
        let layers = [&self.args, &self.pinned_args].into_iter().flat_map(Layer::texts);
        literal.into_iter().chain(file).chain(layers).collect()
    }

    /// Whether a prompt stands in the attribute as text, so that it is known which fields it uses.
    pub(crate) fn has_visible_prompt(&self) -> bool {
        self.texts().iter().any(|text| text.option == "prompt")
    }

    /// The names of fields or options in `unique_by` and `concurrency_key`.
    pub(crate) fn key_names(&self) -> impl Iterator<Item = &LitStr> {
        self.unique_by.iter().flatten().chain(&self.concurrency_key)
    }

    fn read_item(&mut self, input: ParseStream<'_>, problems: &mut Problems) -> syn::Result<()> {
        let key = read_key(input, problems)?;
        if self.key(&key.to_string()).is_some() {
            problems.at(&key, given_twice(&key));
            return Self::default().read_value(&key, input, problems);
        }
        self.keys.push(key.clone());
        if !KEYS.iter().any(|known| key == known) {
            self.unknown.push(key);
            skip_item(input);
            return Ok(());
        }
        self.read_value(&key, input, problems).map_err(|error| at_key(&key, error))
    }

    fn read_value(
        &mut self,
        key: &Ident,
        input: ParseStream<'_>,
        problems: &mut Problems,
    ) -> syn::Result<()> {
        if input.is_empty() || input.peek(Token![,]) {
            let alone = match key.to_string().as_str() {
                "allow_untrusted_writes" => Some(&mut self.allow_untrusted_writes),
                "require_mcp" => Some(&mut self.require_mcp),
                _ => None,
            };
            if let Some(flag) = alone {
                *flag = true;
                return Ok(());
            }
        }
        read_equals(key, input)?;
        match key.to_string().as_str() {
            "queue" => self.queue = Some(text(key, input)?),
            "name" => self.name = Some(text(key, input)?),
            "max_attempts" => self.max_attempts = Some(number(key, input)?),
            "max_snoozes" => self.max_snoozes = Some(number(key, input)?),
            "priority" => self.priority = Some(number(key, input)?),
            "unique_period" => self.unique_period = Some(period(key, input)?),
            "unique_by" => self.unique_by = Some(texts(key, input, problems)?),
            "unique_states" => self.unique_states = Some(texts(key, input, problems)?),
            "tags" => self.tags = Some(texts(key, input, problems)?),
            "prompt" => self.prompt = Some(value(input)?),
            "prompt_file" => self.prompt_file = Some(PromptFile::read(text(key, input)?)?),
            "allow_untrusted_writes" => self.allow_untrusted_writes = flag(key, input)?,
            "require_mcp" => self.require_mcp = flag(key, input)?,
            "args" => self.args = Layer::braced(key, input, problems)?,
            "pinned_args" => self.pinned_args = Layer::braced(key, input, problems)?,
            "output" => self.output = Some(output(input)?),
            "state" => self.state = Some(state(input)?),
            "classifier" => self.classifier = Some(path(key, input, "a function, such as `my_classifier`")?),
            "backoff" => self.backoff = Some(path(key, input, "a function, such as `my_backoff`")?),
            "on_lost" => self.on_lost = Some(text(key, input)?),
            "retry_from" => self.retry_from = Some(text(key, input)?),
            "max_interruptions" => self.max_interruptions = Some(number(key, input)?),
            "max_handler_attempts" => self.max_handler_attempts = Some(number(key, input)?),
            "concurrency_key" => self.concurrency_key = Some(text(key, input)?),
            "cron" => self.cron = Some(text(key, input)?),
            "timezone" => self.timezone = Some(text(key, input)?),
            "missed" => self.missed = Some(text(key, input)?),
            "if_busy" => self.if_busy = Some(text(key, input)?),
            "crate" => self.krate = Some(path(key, input, "claude-jobs, such as `jobs`")?),
            _ => skip_item(input),
        }
        Ok(())
    }
}

fn output(input: ParseStream<'_>) -> syn::Result<Type> {
    let borrowed = "an answer is owned: name a type such as `String` or `Vec<String>`";
    owned(input, borrowed, "`output` takes a type, such as `output = Answer`")
}

fn state(input: ParseStream<'_>) -> syn::Result<Type> {
    let borrowed = "the runtime owns the state, and handlers share it: name the type without `&`";
    owned(input, borrowed, "`state` takes a type, such as `state = App`")
}

/// Reads a type that is no reference.
fn owned(input: ParseStream<'_>, borrowed: &str, other: &str) -> syn::Result<Type> {
    let fork = input.fork();
    if fork.parse::<Type>().is_ok() && (fork.is_empty() || fork.peek(Token![,])) {
        return match input.parse()? {
            ty @ Type::Reference(_) => Err(syn::Error::new_spanned(ty, borrowed)),
            ty => Ok(ty),
        };
    }
    Err(syn::Error::new_spanned(ungrouped(input.parse::<Expr>()?), other))
}

fn value(input: ParseStream<'_>) -> syn::Result<Expr> {
    input.parse().map(ungrouped)
}

fn text(key: &Ident, input: ParseStream<'_>) -> syn::Result<LitStr> {
    match value(input)? {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
        other => Err(wrong(other, format!("`{key}` takes text in quotes: `{key} = \"…\"`"))),
    }
}

fn flag(key: &Ident, input: ParseStream<'_>) -> syn::Result<bool> {
    match value(input)? {
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => Ok(flag.value),
        other => Err(wrong(other, format!("`{key}` takes `true` or `false`, or stands alone"))),
    }
}

fn number(key: &Ident, input: ParseStream<'_>) -> syn::Result<LitInt> {
    match value(input)? {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number),
        other => Err(wrong(other, format!("`{key}` takes a whole number, such as `{key} = 3`"))),
    }
}

fn period(key: &Ident, input: ParseStream<'_>) -> syn::Result<Lit> {
    match value(input)? {
        Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Str(_)), .. }) => Ok(lit),
        other => Err(wrong(other, format!("`{key}` takes seconds, such as `60`, or text such as `\"5m\"`"))),
    }
}

fn texts(key: &Ident, input: ParseStream<'_>, problems: &mut Problems) -> syn::Result<Vec<LitStr>> {
    let list = match value(input)? {
        Expr::Array(list) => list,
        other => {
            let message = format!("`{key}` takes a list of texts, such as `{key} = [\"one\", \"two\"]`");
            return Err(wrong(other, message));
        }
    };
    let mut texts = Vec::new();
    for item in list.elems.into_iter().map(ungrouped) {
        match item {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => texts.push(text),
            other => problems.at(other, format!("`{key}` is a list of texts in quotes, such as `\"one\"`")),
        }
    }
    Ok(texts)
}

fn path(key: &Ident, input: ParseStream<'_>, what: &str) -> syn::Result<Path> {
    match value(input)? {
        Expr::Path(path) if path.qself.is_none() => Ok(path.path),
        other => Err(wrong(other, format!("`{key}` takes the path of {what}"))),
    }
}

fn wrong(value: Expr, message: String) -> syn::Error {
    syn::Error::new_spanned(value, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Attr, Vec<String>) {
        let mut problems = Problems::default();
        let attr = Attr::read(text.parse().expect("tokens"), &mut problems);
        (attr, problems.messages())
    }

    #[test]
    fn a_full_attribute() {
        let (attr, problems) = read(
            r#"queue = "q", name = "n", max_attempts = 1, max_snoozes = 0, priority = 9,
               unique_period = "5m", unique_by = ["args"], unique_states = ["scheduled", "available"], tags = [],
               prompt = include_str!("p.md"), prompt_file = "src/lib.rs", allow_untrusted_writes, require_mcp = true, args = { model = "opus", ..BASE }, pinned_args = {},
               output = Vec<Answer>, state = App,
               classifier = my::classifier, backoff = slow, on_lost = "hold", retry_from = "start",
               max_interruptions = 0, max_handler_attempts = 1, concurrency_key = "model",
               cron = "@daily", timezone = "UTC", missed = "one", if_busy = "skip", crate = jobs,"#,
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(attr.keys.len(), KEYS.len());
        assert!(attr.args.has("model"));
        assert_eq!(attr.unique_by.map(|by| by.len()), Some(1));
    }

    #[test]
    fn each_key_is_known() {
        for key in KEYS {
            let (_, problems) = read(&format!("{key} = -0.5"));
            assert!(!problems.iter().any(|problem| problem.contains("unknown key")), "{key}: {problems:?}");
        }
    }

    #[test]
    fn mistakes_name_the_fix() {
        let cases = [
            ("queue = 3", "`queue` takes text in quotes: `queue = \"…\"`"),
            ("queue", "`queue` has no value: write `queue = …`"),
            ("queue =", "`queue` has no value: write `queue = …`"),
            ("queue(\"review\")", "`queue` takes its value after `=`: write `queue = …`"),
            ("queue: \"review\"", "`queue` takes its value after `=`: write `queue = …`"),
            ("\"review\"", "expected a key: write `key = value`"),
            ("max_attempts = -1", "`max_attempts` takes a whole number, such as `max_attempts = 3`"),
            ("unique_period = 1.5", "`unique_period` takes seconds, such as `60`, or text such as `\"5m\"`"),
            ("tags = \"a\"", "`tags` takes a list of texts, such as `tags = [\"one\", \"two\"]`"),
            ("tags = [a]", "`tags` is a list of texts in quotes, such as `\"one\"`"),
            ("args = 3", "`args` takes options in braces, such as `args = { model = \"sonnet\" }`"),
            ("output = \"Answer\"", "`output` takes a type, such as `output = Answer`"),
            ("output = Answer {}", "`output` takes a type, such as `output = Answer`"),
            ("classifier = \"x\"", "`classifier` takes the path of a function, such as `my_classifier`"),
            ("max-attempts = 1", "keys are in snake case: write `max_attempts`"),
            ("--queue = \"q\"", "keys are in snake case: write `queue`"),
            ("\"queue\" = \"q\"", "keys stand without quotes: write `queue`"),
            ("classifier = my::", "`classifier` has a value that breaks off: expected identifier"),
            ("priority = 1, priority = 2", "`priority` is given twice: keep one"),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).1, [message], "{text}");
        }
    }

    #[test]
    fn reading_goes_on_after_a_mistake() {
        let (attr, problems) =
            read("queue 3, name = \"n\" tags = [1, \"t\", 2], model = { a, b }, priority = 4");
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert_eq!(attr.unknown, ["model"], "the runtime crate says what it is");
        assert!(attr.queue.is_none() && attr.key("queue").is_some());
        assert_eq!(attr.tags.map(|tags| tags.len()), Some(1));
        assert!(attr.priority.is_some());
    }
}
