//! What the attribute expands to: two snapshots, and broken definitions of which an editor still finds the
//! struct, its fields, `new` and the `Worker` impl.
//!
//! After a change: `SNAPSHOTS=overwrite cargo test -p claude-jobs-macros`, then read the difference.

use std::fs;
use std::path::PathBuf;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{File, ImplItemFn, ItemImpl, ItemStruct, Macro};

use super::*;

fn expand(attribute: &str, item: &str) -> File {
    let tokens = |text: &str| text.parse::<TokenStream>().expect("tokens");
    syn::parse2(claude_worker(tokens(attribute), tokens(item))).expect("items")
}

/// What the attribute of a struct has left in the code.
#[derive(Default)]
struct Found {
    structs: Vec<(String, Vec<String>)>,
    new: Vec<usize>,
    impls: Vec<String>,
    errors: Vec<(String, std::ops::Range<usize>)>,
    questions: Vec<String>,
    is_registered: bool,
}

impl Found {
    fn of(file: &File) -> Self {
        let mut found = Self::default();
        found.visit_file(file);
        found
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let fields = item.fields.iter().filter_map(|field| field.ident.as_ref());
        self.structs.push((item.ident.to_string(), fields.map(ToString::to_string).collect()));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        self.impls.extend(of.map(|segment| segment.ident.to_string()));
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if function.sig.ident == "new" {
            self.new.push(function.sig.inputs.len());
        }
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        match item.path.segments.last().map(|last| last.ident.to_string()).as_deref() {
            Some("compile_error") => {
                let text = item.parse_body::<LitStr>().expect("a message");
                self.errors.push((text.value(), item.span().byte_range()));
            }
            Some("key") => self.questions.push(item.tokens.to_string()),
            Some("submit") => self.is_registered = true,
            _ => {}
        }
    }
}

const ITEM: &str = "/// Documented.\npub struct Review { pub number: u64, #[untrusted] body: String }";

#[test]
fn what_is_broken_keeps_its_struct_and_its_functions() {
    let broken = [
        "queue = ",
        "queue",
        "que",
        "queue = \"q\", ",
        "queue = \"q\" max_attempts = 3",
        "queue = \"q\", args",
        "queue = \"q\", args = ",
        "queue = \"q\", args = { model",
        "queue = \"q\", args = { model = ",
        "queue = \"q\", args = { model = \"opus\", max_tu",
        "queue = \"q\", args = { .. ",
        "queue = \"q\", args = { model = claude:: ",
        "queue = \"q\", prompt = \"{numb",
        "queue = \"q\", prompt = \"{number",
        "queue = \"q\", prompt = \"{}\"",
        "queue = \"q\", prompt = concat!(\"a\", ",
        "queue = \"q\", classifier = my::",
        "queue = \"q\", unique_by = [",
        "queue = \"q\", unique_by = [\"num",
        "queue = \"q\", cron = \"0 9 *\"",
        "= = =",
        "; . , ,",
        "\"queue\"",
        "crate = ",
        "queue(\"q\")",
        "--queue",
    ];
    for attribute in broken {
        // As an editor sends it: quotes and brackets closed.
        let closed = close(attribute);
        let file = expand(&closed, ITEM);
        let found = Found::of(&file);
        assert_eq!(found.structs[0], ("Review".to_owned(), vec!["number".to_owned(), "body".to_owned()]));
        assert!(matches!(found.new[..], [2 | 3]), "{closed}: {:?}", found.new);
        assert_eq!(found.impls, ["Worker"], "{closed}");
        let is_right = found.errors.is_empty() && found.questions.is_empty();
        assert_eq!(found.is_registered, is_right, "{closed}: a broken worker is not registered");
        assert!(!is_right || attribute.ends_with(", "), "{closed}: nothing is said");
    }
}

fn close(text: &str) -> String {
    let mut closed = text.to_owned();
    if text.matches('"').count() % 2 == 1 {
        closed.push('"');
    }
    for (open, close) in [('(', ')'), ('[', ']'), ('{', '}')] {
        let outside = closed.split('"').step_by(2).collect::<String>();
        let missing = outside.matches(open).count().saturating_sub(outside.matches(close).count());
        closed.extend(std::iter::repeat_n(close, missing));
    }
    closed
}

#[test]
fn each_error_is_at_the_tokens_it_is_about() {
    let cases = [
        ("queue = \"q\", priority = 10", "10"),
        ("queue = \"q\", max_attempts = ", "max_attempts"),
        ("queue = \"q\", classifier = my::", "classifier"),
        ("queue = \"q\", --max-snoozes = 1", "--max-snoozes"),
        ("queue = \"q\" name = \"n\"", "name"),
        ("queue = \"q\", args = { model = }", "model"),
        ("queue = \"q\", prompt = \"{nubmer}\"", "\"{nubmer}\""),
        ("queue = \"q\", unique_period = 1, unique_by = [\"a b\"]", "\"a b\""),
        ("queue = \"q\", unique_period = 1, unique_states = [\"gone\"]", "\"gone\""),
        ("queue = \"q\", priority = 1, priority = 2", "priority"),
        ("queue = \"q\", cron = \"61 * * * *\", prompt = \"x\"", "\"61 * * * *\""),
    ];
    for (attribute, place) in cases {
        let found = Found::of(&expand(attribute, "struct Review;"));
        let places: Vec<_> = found.errors.iter().map(|(_, range)| range.clone()).collect();
        // Bytes of all text that was read in this thread: those of the attribute are looked up in it.
        let texts: Vec<_> = found.errors.iter().map(|(message, _)| message).collect();
        assert_eq!(places.len(), 1, "{attribute}: {texts:?}");
        assert_eq!(places[0].len(), place.len(), "{attribute}: {texts:?}");
    }
}

#[test]
fn an_unknown_key_is_a_question_to_the_runtime_crate() {
    let found = Found::of(&expand("queue = \"q\", model = \"opus\", maxTurns = 3", "struct Review;"));
    assert_eq!(found.questions, ["model", "maxTurns"]);
    assert!(found.errors.is_empty() && !found.is_registered);
}

#[test]
fn what_can_be_no_worker_stays_as_it_is() {
    for item in ["union U { a: u8 }", "fn f() { }"] {
        let file = expand("queue = \"q\"", item);
        let found = Found::of(&file);
        assert_eq!((found.errors.len(), found.impls.len()), (1, 0), "{item}");
        let kept = file.items.last().expect("an item").to_token_stream().to_string();
        let name = item.split([' ', '(']).nth(1).expect("a name");
        assert!(kept.contains(name), "{kept}");
    }
}

#[test]
fn what_is_no_struct_with_names_gets_a_stub_with_its_fields_and_the_prompt() {
    let cases = [("enum E { A }", 1), ("struct T(u8, u16);", 3), ("struct G<T> { t: T }", 2)];
    for (item, parameters) in cases {
        let found = Found::of(&expand("queue = \"q\"", item));
        assert_eq!(
            (found.errors.len(), &*found.impls, &*found.new),
            (1, &["Worker".into()][..], &[parameters][..])
        );
        assert!(!found.is_registered);
    }
    let found = Found::of(&expand("queue = \"q\", prompt = \"{a}\"", "struct T(u8);"));
    assert_eq!((found.errors.len(), &*found.new), (1, &[1][..]), "the prompt's places are not looked at");
}

#[test]
fn minimal() {
    snapshot("minimal", &expand("queue = \"review\"", "struct Review;"));
}

#[test]
fn full() {
    let attribute = r#"
        queue = "issues", name = "issue-work", max_attempts = 1, max_snoozes = 2, priority = 9, allow_untrusted_writes,
        unique_period = "5m", unique_by = ["worker", "number", "model"], unique_states = ["scheduled", "available"],
        tags = ["code"], prompt = "Issue #{number}: {labels}\n{body}",
        args = { model = "opus", worktree = "issue-{number}", allowed_tools = ["Read({number})", TOOL], ..BASE },
        pinned_args = { permission_mode = MODE, max_budget_usd = 2.5 }, classifier = mine, backoff = slow,
        on_lost = "hold", retry_from = "start", max_interruptions = 3, max_handler_attempts = 2, require_mcp,
        concurrency_key = "number", output = Answer
    "#;
    let item = r#"
        /// Writes the code for an issue.
        #[derive(Debug)]
        #[serde(rename_all = "camelCase")]
        pub struct IssueWork { pub number: u64, #[json] labels: Vec<String>, #[untrusted] body: String, #[cfg(x)] _at: u8 }
    "#;
    snapshot("full", &expand(attribute, item));
}

fn snapshot(name: &str, file: &File) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("snapshots/{name}.txt"));
    let text = prettyplease::unparse(file);
    if std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite") {
        fs::write(&path, &text).expect("the snapshot can be written");
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == known, "{} differs; the expansion is now:\n{text}", path.display());
}
