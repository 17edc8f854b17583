//! The macros of `claude-jobs`: `#[claude_worker]`, and the inside of `args!`. Use them through that
//! crate.
//!
//! What happens to an attribute:
//!
//! | step | where | what it knows |
//! |---|---|---|
//! | read the tokens, past every mistake | `attr`, `layer` | the grammar |
//! | find the fields in texts | `text`, `template`, `fields`, `prompt_file` | what a placeholder is |
//! | find the names that serde writes | `written` | serde's attributes |
//! | judge what is written | `check`, `json_schema` | the rules between keys |
//! | write the code, or a stub of it | `expand`, `layer`, `output`, `rules` | the names in `claude_jobs::__private` |
//! | answer what the runtime crate asks about a name | `unknown` | the keys |
//! | collect the mistakes, name the nearest name | `problems`, `suggest` | nothing of the above |
//!
//! Nothing here knows a claude option, save that a literal `json_schema` is read: for each `key = value` the
//! generated code calls a setter of `claude_jobs::options::Args` in a constant of its own, spanned at the user's
//! tokens, and rustc judges key, type and value. No file is read but the one that `prompt_file` names, no clock:
//! the same tokens always expand to the same code.

mod attr;
mod check;
mod expand;
mod fields;
mod json_schema;
mod layer;
mod output;
mod problems;
mod prompt_file;
mod rules;
mod suggest;
mod template;
mod text;
mod unknown;
mod written;

use proc_macro::TokenStream;

/// Makes a struct a worker: a type of job that is checked when it compiles.
///
/// It goes on a unit struct or a struct with named fields, without generics. The fields are the
/// job's input: they are stored as JSON, so their types need serde.
///
/// ```
/// use claude_jobs::prelude::*;
///
/// /// Reviews one pull request.
/// #[claude_worker(
///     queue = "review",
///     unique_period = "10m",
///     unique_by = ["worker", "number"],
///     args = { model = "sonnet", max_turns = 40 },
///     pinned_args = { permission_mode = "plan", max_budget_usd = 2.0 },
/// )]
/// struct PrReview {
///     number: u64,
/// }
///
/// let job = PrReview::new(87, "Review pull request 87.").priority(1);
/// ```
///
/// # Keys
///
/// All take literals, unless it says otherwise.
///
/// | key | value | default |
/// |---|---|---|
/// | `queue` | where the jobs wait: 1 to 128 characters without white space | required |
/// | `name` | the stable name in the database; as `queue` | the type's name |
/// | `max_attempts` | how many counted attempts a job may use: 1 to 1000 | 3 |
/// | `max_snoozes` | how many snoozes a job may use before a snooze counts as a retry: 0 to 1000 | 3 |
/// | `priority` | 0 (first) to 9 (last) | 0 |
/// | `unique_period` | for how long after its insertion a job keeps others like it out: seconds, or text such as `"1h30m"`. A tick of `cron` is never kept out by the tick before it | not unique |
/// | `unique_by` | what must be the same: a list of `"worker"`, `"queue"`, `"args"` (all fields and options), and names of fields or options | `["worker", "queue", "args"]` |
/// | `unique_states` | in which states the first job counts: a list of names, `"scheduled"` and `"available"` among them | all but `cancelled` and `discarded` |
/// | `tags` | labels of its jobs: a list of texts, each as `queue` | none |
/// | `prompt` | the prompt of all its jobs: a [template](#templates), or a constant expression such as `include_str!("review.md")`, taken as it is | `new` takes the prompt |
/// | `prompt_file` | the same from a file: its path from the folder of `Cargo.toml`, such as `"prompts/review.md"`. A change of the file builds the crate anew | none |
/// | `allow_untrusted_writes` | stands alone: runs that can write may read [untrusted](#untrusted-text) fields | they may not |
/// | `require_mcp` | written without a value: a run that lacks one of its MCP servers ends as `mcp_unavailable` before its first paid request | the run goes on without that server, with a warning |
/// | `args` | claude options beneath the job's own: `{ key = value, …, ..BASE }` | none |
/// | `pinned_args` | claude options that a job cannot override, written like `args` | none |
/// | `output` | the [type of claude's answers](#typed-answers): serde's `Deserialize` and schemars' `JsonSchema` | text |
/// | `state` | the type of the application's state that the handler takes with `cx.state::<Type>()`: `Send + Sync + 'static`. A runtime that serves the worker without it does not start | none |
/// | `classifier` | the path of a `fn(&Run) -> Verdict` that proposes what becomes of a job | the default classifier |
/// | `backoff` | the path of a `fn(u32) -> Duration`: the wait before a retry, from the number of counted attempts | 15 s, doubled each time, at most 1 h |
/// | `on_lost` | what becomes of a job whose attempt was interrupted after it had begun (shutdown, lost lease, dead node): `"resume"` (go on in its session, uncounted), `"retry"` (again from its start, counted), `"hold"` (`discarded`, for an operator to look at), `"cancel"` | `"resume"`; without a session to continue, `"retry"` |
/// | `max_interruptions` | how many interrupted attempts are continued without counting: 0 to 1000 | 5 |
/// | `retry_from` | where a retry goes on after a transient failure of a run that had begun: in its `"session"`, or at the `"start"` | `"session"` |
/// | `max_handler_attempts` | how many times the handler may fail on one answer before the job is discarded: 1 to 1000 | 5 |
/// | `concurrency_key` | the field or option whose value jobs share that are limited together, such as `"working_dir"` | none |
/// | `cron` | when runtimes insert a job by themselves: five fields or a nickname such as `"@daily"`. The worker has no fields and a prompt of its own | never |
/// | `timezone` | the IANA name of the zone whose clocks `cron` is read on | `"UTC"` |
/// | `missed` | what becomes of ticks that no runtime saw within a minute: `"skip"`, `"one"` (the latest runs), `"all"` (each runs, in order) | `"skip"` |
/// | `if_busy` | what becomes of a tick while the job of an earlier one is not over: `"queue"` (it waits its turn), `"skip"` | `"queue"` |
/// | `crate` | the path of `claude-jobs` where it has another name | `::claude_jobs` |
///
/// `unique_by` and `concurrency_key` name a field as the struct does. They find it in the stored input under the
/// name that serde writes: `rename` and `rename_all` are followed; a field that serde leaves out or writes in
/// another form (`skip`, `flatten`, a struct that is `transparent`) cannot be named.
///
/// The options in `args` and `pinned_args` are the rows of the table in `claude_jobs::options`. Each
/// takes a literal, a list, or a constant expression (of type `&str`, `bool`, a number, `Duration`,
/// an array or a slice of `&str`). `..BASE` is a constant of type `Args` beneath the keys, made by
/// `args!`.
///
/// # Templates
///
/// The prompt, and every text in `args` and `pinned_args` (items of lists too), may name fields:
/// `"Issue #{number}: {issue.title}"`. A placeholder is a field or a path of fields; `{{` and `}}` stand for
/// braces. A text that as a whole is a JSON object or list, as `settings` or `agents` take, has no
/// placeholders. A field is shown by its `Display`, or as compact JSON where it is marked `#[json]`. Values
/// are data: what looks like a placeholder in one stays as it is. Templates are filled from the job's stored
/// input, at insert to be checked and when the job runs.
///
/// Where the prompt stands in the attribute, each field must be used: by a text, `unique_by` or
/// `concurrency_key`. A field that only the handler reads is called `_name`, or marked `#[allow(unused)]`.
///
/// ```
/// use claude_jobs::prelude::*;
///
/// /// Writes the code for an issue.
/// #[claude_worker(
///     queue = "issues",
///     max_attempts = 1,
///     allow_untrusted_writes,
///     prompt = "Issue #{number}: {title}\n\n{body}\n\nImplement it and open a draft PR.",
///     args = { worktree = "issue-{number}", permission_mode = "accept_edits" },
/// )]
/// struct IssueWork {
///     number: u64,
///     title: String,
///     #[untrusted]
///     body: String,
/// }
///
/// let job = IssueWork::new(87, "It breaks".into(), "Steps: …".into()).priority(1);
/// ```
///
/// # Untrusted text
///
/// A field marked `#[untrusted]` comes from outside: an issue's text, a web page, a log. In the prompt it
/// stands in a fence: a sentence that it is data and gives no instructions, then the value between two tags
/// with a word of 128 random bits that is drawn anew for each run and occurs in no value. Tags in the value
/// that look like those of a fence are made unlike (`<_/untrusted…`); everything else is as it was. `@path` in
/// such a prompt attaches no file. No other text than the prompt may name such a field. Where `new` takes the
/// prompt, the fences of all untrusted fields follow it.
///
/// A fence makes it harder to talk a model into something; it does not make it impossible. So a worker with
/// such a field must not be able to write unless it says `allow_untrusted_writes`: else it does not compile, and a
/// job whose own options would let it write is refused. The options decide; one that cannot be judged counts as
/// writing:
///
/// | option | lets a run write |
/// |---|---|
/// | `permission_mode` | `accept_edits`, `bypass_permissions` and `auto`; `plan` adds nothing, but does not take back what the other options grant |
/// | `allowed_tools` | every tool and command but those below |
/// | `binary`, `permission_prompt_tool`, `mcp_config`, `agent`, `agents`, `settings`, `plugin_dir`, `plugin_url`, `file` | whatever they are set to; an empty list sets nothing |
///
/// Tools and commands that only read:
///
/// - `Read`, `Grep`, `Glob`, `LS`, `WebFetch`, `WebSearch`, `TodoWrite`, `Task` and the like, with a pattern or without.
/// - `Bash(…)` of a command that only reads, whatever follows it: `cat`, `grep`, `head`, `ls`, `stat`, `tail`, `wc`,
///   `git status`, `git ls-files`, `git rev-parse`, and of `gh`: `pr view`, `pr list`, `pr diff`, `pr checks`,
///   `pr status`, `issue view`, `issue list`, `issue status`, `run view`, `run list`, `release view`, `release list`,
///   `repo view`.
/// - `Bash(…)` without a wildcard of `git log`, `git diff`, `git show`, `git blame` or `git shortlog`, as in
///   `Bash(git log -20)`. With a wildcard, as in `Bash(git log:*)`, the run may add `--output=FILE`.
///
/// So `Edit(src/**)`, `mcp__github__get_issue`, `Skill`, `Bash(cargo test:*)` and every shell and interpreter count as
/// writing. Claude needs no grant for commands that it knows to only read, `git log` among them. Not looked at is what
/// the CLI finds by itself, on the machine and in the repository: settings files with their hooks, skills, agents and
/// MCP servers (`hermetic` keeps them out), and the runtime's environment; nor what a session has read before that a
/// job continues with `resume` or `from_pr`.
///
/// The rule on `max_attempts` is narrower: it asks only about what surely writes, which is a mode of those above, an
/// edit tool, and `Bash` without a command.
///
/// # Typed answers
///
/// With `output = Type` the type's JSON Schema goes to claude, and the answer to the handler as that type:
///
/// ```
/// use claude_jobs::prelude::*;
///
/// #[derive(Deserialize, JsonSchema)]
/// # #[serde(crate = "claude_jobs::serde")]
/// # #[schemars(crate = "claude_jobs::schemars")]
/// struct Triaged {
///     /// In one sentence.
///     summary: String,
///     labels: Vec<String>,
/// }
///
/// /// Sorts an issue.
/// #[claude_worker(queue = "triage", output = Triaged, args = { model = "sonnet" })]
/// struct Triage;
///
/// impl Handler for Triage {
///     async fn handle_result(&self, triaged: Triaged, _run: &Run, _cx: &mut Ctx) -> Result<Verdict> {
///         Ok(if triaged.labels.is_empty() { Verdict::cancel(triaged.summary) } else { Verdict::Complete })
///     }
/// }
/// ```
///
/// The comments on the type and its fields are in the schema: claude reads them. A type that is no JSON object
/// by itself (an enum, a list, text) works as well; claude is asked for `{"value": …}` then. The derives name
/// their crates, so those must be dependencies, or `#[serde(crate = "claude_jobs::serde")]` and
/// `#[schemars(crate = "claude_jobs::schemars")]` say where they are.
///
/// An answer that does not fit the schema or does not deserialise is repaired once, in the same attempt: the
/// session is resumed and told what is wrong, within what is left of `timeout` and `max_budget_usd`
/// (`max_turns` counts anew). If that does not help, or cannot be (`no_session_persistence`, say), the run
/// fails as `output_mismatch`, which the default classifier retries.
///
/// Without `output`, an option `json_schema` asks for structured answers too; `Run::structured` has them. A
/// literal one must be a JSON Schema that claude takes.
///
/// # Rules between keys
///
/// Bases and constants take part. A worker that surely can write (see above) says `max_attempts`: each retry is a new
/// paid run that may write again. No key stands both in `args` and `pinned_args`. `system_prompt` excludes
/// `system_prompt_file`, `append_system_prompt` excludes `append_system_prompt_file`, `resume` excludes
/// `from_pr`; `no_session_persistence` excludes `resume`, `from_pr` and `on_lost = "resume"`; `fork_session`
/// needs `resume`; `session_id` with `resume` needs `fork_session`; `idle_timeout` and
/// `tool_timeout` are not above `timeout`.
///
/// # What it generates
///
/// * The struct as it is, with serde's `Serialize` and `Deserialize` where it does not derive them.
///   Derives belong below the attribute: those above it are done before it can see them.
/// * `new`, with the struct's visibility: it takes the fields in order, and the prompt unless
///   `prompt`, `prompt_file` or an option `prompt` in `args` or `pinned_args` gives it, and returns a
///   `JobBuilder<Self>`. What a base sets cannot be seen: with `..BASE`, `new` takes the prompt even
///   if the base has one.
///   `new` is taken by that: a constructor of your own has another name and calls it.
///
///   ```
///   # use claude_jobs::{JobBuilder, prelude::*};
///   # #[claude_worker(queue = "q")]
///   # struct PrReview { number: u64, title: String }
///   impl PrReview {
///       fn of(number: u64) -> JobBuilder<Self> {
///           Self::new(number, format!("pull request {number}"), "Review it.")
///       }
///   }
///   ```
/// * The `Worker` impl, whose `Output` is the type of `output`, or the answer's text.
/// * The registration by which a `Runtime` finds the worker, and its `Handler` if it has one. Two workers of one
///   name in a program are found when it connects: `Error::DuplicateWorker` names both places.
///
/// A definition with mistakes generates the struct and `new` all the same, so that the mistakes are
/// the only errors: each at its own token, all in one build.
///
/// ```compile_fail
/// use claude_jobs::prelude::*;
///
/// #[claude_worker(queue = "review", args = { max_turn = 40 })] // unknown option: did you mean `max_turns`?
/// struct PrReview;
/// ```
#[proc_macro_attribute]
pub fn claude_worker(attribute: TokenStream, item: TokenStream) -> TokenStream {
    expand::claude_worker(attribute.into(), item.into()).into()
}

/// The inside of `claude_jobs::args!`, which adds `($crate)` before the user's tokens.
#[doc(hidden)]
#[proc_macro]
pub fn args(input: TokenStream) -> TokenStream {
    expand::args(input.into()).into()
}

/// The error about a key that the attribute does not have. `claude_jobs::__private::key!` calls it with the
/// names of all options.
#[doc(hidden)]
#[proc_macro]
pub fn unknown_key(input: TokenStream) -> TokenStream {
    unknown::unknown_key(input.into()).into()
}

/// The error about an option that does not exist. `claude_jobs::__private::option!` calls it with
/// every name there is.
#[doc(hidden)]
#[proc_macro]
pub fn unknown_option(input: TokenStream) -> TokenStream {
    unknown::unknown_option(input.into()).into()
}
