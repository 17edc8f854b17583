//! Generated code breaks none of rustc's stricter lints.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, missing_copy_implementations)]
#![deny(unreachable_pub, unused_qualifications, unused_results, unused_lifetimes, single_use_lifetimes)]
#![deny(trivial_casts, trivial_numeric_casts, variant_size_differences, let_underscore_drop)]
#![deny(elided_lifetimes_in_paths, explicit_outlives_requirements, redundant_lifetimes, unit_bindings)]
#![deny(future_incompatible, nonstandard_style, rust_2018_idioms, rust_2021_compatibility, rust_2024_compatibility)]
#![deny(unused, unused_crate_dependencies, keyword_idents, meta_variable_misuse, non_ascii_idents)]
#![allow(unused_crate_dependencies)]

use claude_jobs::prelude::*;

/// A layer.
pub(crate) const BASE: Args = args! { model = "opus" };

/// A worker with everything that generates code.
#[claude_worker(
    queue = "q",
    max_attempts = 1,
    allow_untrusted_writes,
    unique_period = 60,
    unique_by = ["number"],
    unique_states = ["scheduled", "available"],
    tags = ["t"],
    prompt = "{number} {body} {labels}",
    args = { max_turns = 3, worktree = "issue-{number}", add_dir = ["{number}"], ..BASE },
    pinned_args = { permission_mode = "accept_edits" },
)]
#[derive(Debug)]
pub(crate) struct Worker {
    /// A number.
    pub(crate) number: u64,
    #[untrusted]
    body: String,
    #[json]
    labels: Vec<String>,
}

impl Handler for Worker {}

/// On a schedule.
#[claude_worker(queue = "q", cron = "@daily", prompt = "Go.")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Daily;

fn main() {
    drop(Worker::new(7, String::new(), vec![]));
    drop(Daily::new());
}
