//! The assertions: [`assert_enqueued!`](crate::assert_enqueued) and
//! [`refute_enqueued!`](crate::refute_enqueued).

use super::expected::{Expected, Jobs};
use crate::error::Result;
use crate::job::Job;
use crate::worker::Worker;

/// Sees to it that a job is enqueued, and is the job: the oldest, where there are several.
///
/// It is of the worker, has the fields and properties that are named, and waits to be run. Each `name =
/// value` is a method of [`Expected`](crate::testing::Expected). Field names are checked when the test
/// compiles; values are compared as JSON. Looks into a [`Queue`](crate::Queue), or into the follow-on jobs
/// of a [performed](crate::testing::perform) job. It awaits, so it stands in an async function.
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use claude_jobs::prelude::*;
/// use claude_jobs::testing::{self, assert_enqueued, refute_enqueued};
///
/// #[claude_worker(queue = "issues", prompt = "Fix {number}: {title}")]
/// struct Fix { number: u64, title: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> claude_jobs::Result<()> {
/// let queue = testing::queue().await?;
/// let job = Fix::new(87, "It breaks".into()).schedule_in(Duration::from_secs(60)).tags(["urgent"]);
/// job.insert(&queue).await?;
///
/// assert_enqueued!(queue, Fix);
/// assert_enqueued!(queue, Fix { number: 87, .. }, queue = "issues", tag = "urgent", count = 1);
/// let job = assert_enqueued!(queue, Fix, scheduled_in = Duration::from_secs(60));
/// assert_eq!(job.priority, 0);
/// assert_enqueued!(queue, Fix, matching = |fix| fix.title.contains("breaks"));
/// refute_enqueued!(queue, Fix { number: 88, .. });
/// # Ok(()) }
/// ```
///
/// A failure says what is there instead:
///
/// ```text
/// no job is enqueued like
///     Fix { number: 88 }, queue = "issues"
/// there is
///     job 1, Fix { number: 87, title: "It breaks" }, in queue `issues`, scheduled in 60s
///         number: 87, not 88
/// ```
///
/// # Panics
///
/// When there is no such job, or not as many as `count` says; when the jobs cannot be read.
#[macro_export]
macro_rules! assert_enqueued {
    ($jobs:expr, $worker:path { $($fields:tt)* } $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::testing::enqueued(
            { use $crate::testing::HoldsJobs as _; $jobs.held_jobs().await },
            $crate::__expected!($worker { $($fields)* } $(, $key = $value)*),
        )
    };
    ($jobs:expr, $worker:path $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::assert_enqueued!($jobs, $worker {} $(, $key = $value)*)
    };
}

/// Sees to it that no such job is enqueued: the opposite of [`assert_enqueued!`](crate::assert_enqueued),
/// which it is written like. With `count = 3` there may be any number but three.
///
/// # Panics
///
/// When there is such a job; when the jobs cannot be read.
#[macro_export]
macro_rules! refute_enqueued {
    ($jobs:expr, $worker:path { $($fields:tt)* } $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::testing::not_enqueued(
            { use $crate::testing::HoldsJobs as _; $jobs.held_jobs().await },
            $crate::__expected!($worker { $($fields)* } $(, $key = $value)*),
        )
    };
    ($jobs:expr, $worker:path $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::refute_enqueued!($jobs, $worker {} $(, $key = $value)*)
    };
}

/// `Worker { field: value, short, .. }, key = value` as an `Expected`.
#[doc(hidden)]
#[macro_export]
macro_rules! __expected {
    (
        $worker:path { $($field:ident $(: $wanted:expr)?),* $(, ..)? $(,)? } $(, $key:ident = $value:expr)*
    ) => {{
        // The compiler knows the fields.
        let _ = |worker: &$worker| { $(let _ = &worker.$field;)* let _ = worker; };
        $crate::testing::Expected::<$worker>::new()
            $(.field(::core::stringify!($field), $crate::__expected!(@value $field $(, $wanted)?)))*
            $(.$key($value))*
    }};
    ($worker:path { .. } $(, $key:ident = $value:expr)*) => {
        $crate::__expected!($worker {} $(, $key = $value)*)
    };
    (@value $field:ident) => { &$field };
    (@value $field:ident, $wanted:expr) => { &$wanted };
}

/// The oldest of the jobs that are as expected.
#[doc(hidden)]
#[track_caller]
pub fn enqueued<W: Worker>(jobs: Result<Jobs>, expected: Expected<W>) -> Job {
    match expected.find(&read(jobs)).map(|found| found.into_iter().next()) {
        Ok(Some(job)) => job,
        Ok(None) => panic!("there are none, as `count = 0` says: write `refute_enqueued!`"),
        Err(problem) => panic!("{problem}"),
    }
}

/// None of the jobs is as expected.
#[doc(hidden)]
#[track_caller]
pub fn not_enqueued<W: Worker>(jobs: Result<Jobs>, expected: Expected<W>) {
    if let Err(problem) = expected.miss(&read(jobs)) {
        panic!("{problem}");
    }
}

#[track_caller]
fn read(jobs: Result<Jobs>) -> Jobs {
    jobs.unwrap_or_else(|error| panic!("the jobs cannot be read: {error}"))
}
