//! The test kit: try your workers, handlers and queues in milliseconds, without claude, network or sleep.
//!
//! | to try | there is |
//! |---|---|
//! | one job: its prompt, options, verdict, follow-on jobs | [`perform`](perform()) |
//! | a queue with all that follows | [`queue`](queue()) and [`drain`](drain()) |
//! | that your program enqueues the right jobs | [`assert_enqueued!`], [`refute_enqueued!`] |
//! | retries, snoozes, scheduled jobs | [`Clock::advance`], [`Drain::through_time`] |
//! | workers with `cron` | [`elapse`] |
//! | what claude answers | [`respond`], [`structured`], [`fail`], [`hang`], [`sequence`], [`answering`] |
//! | what it answers to whom, and what it was asked | [`ScriptedClaude`] |
//! | a run as it once was | [`events_from`], [`record`](record()), [`replay`] |
//!
//! It is always there, and brings no further dependency: `use claude_jobs::testing::{…}` in your tests is all.
//!
//! # One job
//!
//! [`perform`](perform()) runs a job without a database. Everything but claude is as in a queue: options are
//! merged and checked, templates filled, the outcome is classified, the handler has its say.
//!
//! ```standalone_crate
//! use claude_jobs::FailureKind::MaxTurns;
//! use claude_jobs::prelude::*;
//! use claude_jobs::testing::{assert_enqueued, fail, perform, respond};
//!
//! #[claude_worker(queue = "issues", max_attempts = 1, prompt = "Implement issue {number}.")]
//! struct Implement { number: u64 }
//!
//! impl Handler for Implement {
//!     async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
//!         cx.enqueue(Merge::new(self.number).schedule_in(std::time::Duration::from_secs(600)));
//!         Ok(Verdict::Complete)
//!     }
//!
//!     async fn handle_error(&self, verdict: Verdict, failure: &Failure, _: &Run, _: &mut Ctx) -> Result<Verdict> {
//!         Ok(match failure.kind {
//!             MaxTurns => Verdict::cancel("too large: split it"),
//!             _ => verdict,
//!         })
//!     }
//! }
//!
//! #[claude_worker(queue = "merges", prompt = "Merge the PR of issue {number} if CI is green.")]
//! struct Merge { number: u64 }
//!
//! # async fn tests() -> claude_jobs::Result<()> {
//! #[tokio::test]
//! # async fn one() {}
//! async fn a_merge_follows() -> claude_jobs::Result<()> {
//!     let done = perform(Implement::new(87), respond("Opened a draft PR.").cost(0.8)).await?;
//!     assert_eq!(done.prompt(), "Implement issue 87.");
//!     assert_eq!((done.verdict, done.run.cost_usd), (Verdict::Complete, Some(0.8)));
//!     Ok(())
//! }
//! # a_merge_follows().await?;
//!
//! #[tokio::test]
//! # async fn two() {}
//! async fn an_issue_that_is_too_large_is_not_tried_again() -> claude_jobs::Result<()> {
//!     let done = perform(Implement::new(87), fail(MaxTurns)).await?;
//!     assert_eq!(done.verdict, Verdict::cancel("too large: split it"));
//!     Ok(())
//! }
//! # an_issue_that_is_too_large_is_not_tried_again().await?;
//!
//! let done = perform(Implement::new(87), respond("Opened a draft PR.")).await?;
//! assert_enqueued!(done, Merge { number: 87 }, queue = "merges");
//! # Ok(()) }
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(tests()).unwrap();
//! ```
//!
//! # A queue
//!
//! [`queue`](queue()) is a [`Queue`] in memory, with a clock that only the test moves. Each test has its
//! own, so tests run in parallel. [`drain`](drain()) runs what is due, in order.
//!
//! ```standalone_crate
//! use claude_jobs::FailureKind::Overloaded;
//! use claude_jobs::prelude::*;
//! use claude_jobs::testing::{self, assert_enqueued, drain, fail, refute_enqueued, respond, sequence};
//!
//! #[claude_worker(queue = "reviews", unique_period = 60, prompt = "Review PR {number}.")]
//! struct Review { number: u64 }
//!
//! /// What your program does when a webhook comes.
//! async fn pull_request_opened(queue: &Queue, number: u64) -> claude_jobs::Result<()> {
//!     Review::new(number).insert(queue).await.map(drop)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> claude_jobs::Result<()> {
//! let queue = testing::queue().await?;
//! pull_request_opened(&queue, 87).await?;
//! pull_request_opened(&queue, 87).await?;
//! assert_enqueued!(queue, Review { number: 87 }, count = 1);
//!
//! let script = sequence([fail(Overloaded), fail(Overloaded), respond("No findings.")]);
//! let drained = drain(&queue, script).through_time().await?;
//! assert_eq!((drained.retried(), drained.completed()), (2, 1), "{drained}");
//! refute_enqueued!(queue, Review);
//! # Ok(()) }
//! ```
//!
//! # What the kit is not
//!
//! - [`queue`](queue()) is SQLite in memory: no file, so no other connection, and no transaction of your own
//!   ([`insert_in`](crate::JobBuilder::insert_in)). For that, connect to a file in a temporary folder and give
//!   that queue a [manual clock](Clock::manual); everything else works on any queue.
//! - [`drain`](drain()) runs one job at a time. How jobs get along with each other at once, leases and
//!   shutdown are the affair of [`Runtime`](crate::Runtime), which takes a [`ScriptedClaude`], too.

#[cfg(feature = "sqlite")]
use crate::clock::Clock;
use crate::engine::Filter;
use crate::error::Result;
use crate::job::{Job, State};
use crate::queue::Queue;
use crate::worker::Worker;

mod answer;
mod assertions;
mod drain;
mod expected;
mod failure;
mod perform;
mod played;
mod recording;
mod script;
mod shown;

pub use crate::{assert_enqueued, refute_enqueued};
pub use answer::{Answer, ask, events_from, fail, hang, respond, structured};
#[doc(hidden)]
pub use assertions::{enqueued, not_enqueued};
pub use drain::{Drain, Drained, DrainedRun, drain, elapse};
pub use expected::{Expected, HoldsJobs, Jobs};
pub use perform::{Perform, Performed, perform};
pub use recording::{Recorder, record, replay};
pub use script::{Script, ScriptedClaude, answering, for_worker, prompt_contains, sequence};

/// A queue of its own for one test: SQLite in memory, gone when the last handle is, that knows every worker
/// that is linked into the test.
///
/// Its [clock](Queue::clock) stands at the present moment until the test [advances](Clock::advance) it. To
/// begin at another moment, give it another one: `queue.with_clock(Clock::manual(…))`.
///
/// # Errors
///
/// [`Error::DuplicateWorker`](crate::Error::DuplicateWorker) when two workers have one name.
#[cfg(feature = "sqlite")]
pub async fn queue() -> Result<Queue> {
    let clock = Clock::manual(Clock::system().now());
    Ok(Queue::connect("sqlite::memory:").await?.with_clock(clock))
}

/// All jobs of a queue, or those in this state.
async fn jobs(queue: &Queue, state: Option<State>) -> Result<Vec<Job>> {
    const PAGE: u32 = 1_000;
    let mut filter = Filter { state, limit: PAGE, ..Filter::default() };
    let mut jobs = Vec::new();
    loop {
        let page = queue.list(&filter).await?;
        let is_last = page.len() < PAGE as usize;
        filter.before = page.last().map(|job| job.id);
        jobs.extend(page);
        if is_last {
            return Ok(jobs);
        }
    }
}

fn read_fields<W: Worker>(job: &Job) -> Result<W, String> {
    crate::__private::read(&job.input)
        .map_err(|error| W::registration().definition.input_problem(&job.input, &error))
}

#[track_caller]
fn fields_of<W: Worker>(job: &Job) -> W {
    read_fields(job).unwrap_or_else(|error| {
        panic!(
            "{} does not hold the fields of {}: {error}",
            shown::name(job),
            W::registration().definition.name
        )
    })
}
