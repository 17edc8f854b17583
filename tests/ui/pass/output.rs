//! Types of answers: derived with the crates of ours, generic, of other modules, and none that needs a derive.

#![deny(missing_docs, warnings)]

use std::collections::BTreeMap;

use claude_jobs::prelude::*;

/// What a review says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "claude_jobs::serde", rename_all = "snake_case")]
#[schemars(crate = "claude_jobs::schemars")]
pub enum Review {
    /// Merge it.
    Approved,
    /// Do not merge it.
    Rejected {
        /// In one sentence.
        reason: String,
    },
}

/// Its answer is an enum.
#[claude_worker(queue = "q", output = Review)]
pub struct Reviewer {
    /// Which.
    pub number: u64,
}

impl Handler for Reviewer {
    async fn handle_result(&self, review: Review, run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
        assert!(run.structured().is_some());
        Ok(match review {
            Review::Approved => Verdict::Complete,
            Review::Rejected { reason } => Verdict::cancel(reason),
        })
    }
}

/// No derive needed.
#[claude_worker(queue = "q", output = BTreeMap<String, Vec<Option<inner::Part>>>, args = { ..BASE })]
struct Counter;

const BASE: Args = args! { model = "opus" };

/// A literal schema, and a constant one.
#[claude_worker(queue = "q", args = { json_schema = r#"{"properties": {"age": {"type": "integer"}}}"# })]
struct Untyped;

const SCHEMA: &str = "{}";

/// Not read while it compiles.
#[claude_worker(queue = "q", args = { json_schema = SCHEMA })]
struct Constant;

mod inner {
    use ::claude_jobs as jobs;

    /// Reached through another name of the crate.
    #[derive(jobs::serde::Deserialize, jobs::schemars::JsonSchema)]
    #[serde(crate = "jobs::serde")]
    #[schemars(crate = "jobs::schemars")]
    pub struct Part {
        /// How many.
        #[allow(dead_code)]
        pub many: u8,
    }

    #[jobs::claude_worker(queue = "q", output = Part, crate = jobs)]
    struct Within;
}

fn main() {
    let output = Reviewer::DEFINITION.output.expect("it has one");
    let schema = (output.schema)().expect("a schema");
    assert!(output.name == "Review" && schema.is_wrapped());
    assert!(schema.text().contains("In one sentence."), "{schema}");
    let again = (Reviewer::DEFINITION.output.expect("it has one").schema)().expect("a schema");
    assert!(std::ptr::eq(schema, again), "made once");
    assert!(Untyped::DEFINITION.output.is_none());
    let job = Reviewer::new(7, "look").json_schema("{}").into_new_job().expect("a job");
    assert_eq!(job.worker, "Reviewer");
    let _ = (Counter::new("a"), Untyped::new("b"), Constant::new("c"));
}
