//! Claude Code jobs on a durable queue.
//!
//! (The tour comes with the README.)

mod builder;
pub mod classify;
pub mod claude;
pub mod clock;
pub mod engine;
pub mod error;
mod executor;
pub mod job;
mod node;
pub mod notice;
pub mod options;
pub mod outcome;
mod producer;
pub mod queue;
pub mod registry;
mod run;
pub mod runtime;
mod service;
pub mod settlement;
pub mod unique;
pub mod verdict;
pub mod worker;

#[doc(hidden)]
pub mod __private;

pub use builder::JobBuilder;
pub use claude_jobs_macros::claude_worker;
pub use error::{Error, Result};
pub use job::{Inserted, Job, JobId, NewJob, State};
pub use options::Args;
pub use outcome::{Failure, FailureKind, Outcome, Run};
pub use queue::Queue;
pub use run::{RunOptions, run};
pub use runtime::{Runtime, shutdown_signal};
pub use verdict::Verdict;
pub use worker::{Ctx, Handler, Worker};

/// What most programs need: `use claude_jobs::prelude::*;`.
pub mod prelude {
    pub use crate::options::{ArgMap, Args};
    pub use crate::outcome::{Failure, Run};
    pub use crate::{
        Ctx, Handler, Job, JobId, Queue, Runtime, State, Verdict, Worker, args, claude_worker,
        shutdown_signal,
    };
}
