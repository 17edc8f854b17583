//! Where the prompt comes from: the attribute, a layer, a file; and where `new` takes it.

use claude_jobs::options::ArgMap;
use claude_jobs::prelude::*;

const BASE: Args = args! { prompt = "from the base" };

#[claude_worker(queue = "q", prompt = "Answer in JSON: {{\"ok\": true}}")]
struct Literal;

#[claude_worker(queue = "q", prompt = include_str!("prompts.rs"))]
struct File;

#[claude_worker(queue = "q", args = { prompt = "{prompt}" })]
struct InArgs {
    prompt: String,
}

#[claude_worker(queue = "q", pinned_args = { prompt = "x" })]
struct Pinned {}

/// What a base sets cannot be seen: `new` takes a prompt.
#[claude_worker(queue = "q", args = { ..BASE })]
struct Based;

fn prompt_of(definition: Definition) -> String {
    ArgMap::from(definition.args).get("prompt").and_then(|text| text.as_str()).unwrap_or_default().to_owned()
}

fn main() {
    assert_eq!(prompt_of(Literal::DEFINITION), "Answer in JSON: {\"ok\": true}");
    assert!(prompt_of(File::DEFINITION).starts_with("//! Where"));
    assert_eq!(prompt_of(Based::DEFINITION), "from the base");
    let _ = (Literal::new(), File::new(), InArgs::new("x".into()), Pinned::new(), Based::new("my own"));
}

use claude_jobs::definition::Definition;
