//! Claude Code jobs on a durable queue: annotate a struct, insert a job, let a runtime run it.
//!
//! # A job's way
//!
//! ```text
//! #[claude_worker] ─ W::new(…) ─ JobBuilder ─ NewJob ─ merge + check ─ engine.insert ─ row
//!                                                                                      │
//!   settlement ─ verdict ─ handler ─ classifier ─ outcome ─ claude ─ merge + check ─ claim
//!        │
//!   engine.settle: row, ledger, errors and follow-on jobs in one transaction
//! ```
//!
//! | step | where |
//! |---|---|
//! | the attribute and its keys | [`claude_worker`] |
//! | a job to insert | [`JobBuilder`], [`NewJob`] |
//! | the options of a run, merged from layers | [`options`] |
//! | the queue in the database | [`Queue`], [`engine`] |
//! | claiming, running, draining | [`Runtime`] |
//! | jobs by the clock | [`schedule`] |
//! | how long jobs that are over are kept | [`retention`] |
//! | what happens, on every node | [`event`]: [`Queue::events`], [`Queue::tail`] |
//! | the `claude` process | [`claude`] |
//! | what a run came to | [`outcome`] |
//! | typed answers: `output = Type` | [`output`] |
//! | what becomes of the job | [`classify`], [`verdict`], [`settlement`] |
//! | the worker's last word | [`Handler`], [`Ctx`] |
//! | the same without a queue | [`run`] |
//! | the command | [`cli`] |
//! | your own tests | [`testing`] |
//! | spans, traces, metrics | [`telemetry`] |
//!
//! A failing claude is an [`Outcome`], never an error; policy is worked out as a value before the
//! database is touched; time is read in one place ([`clock`]).
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `sqlite` | yes | the embedded queue |
//! | `postgres` | no | the queue of many machines, in PostgreSQL 14 or newer |
//! | `cli` | yes | the `claude-jobs` command and [`cli::main`] |
//! | `metrics` | no | metrics for the recorder of the crate `metrics` that the program installs |
//! | `prometheus` | no | that recorder, its HTTP endpoint, `work --metrics` |
//! | `conformance` | no | what every engine must do, as tests: for the authors of engines |

mod account;
mod app_state;
pub mod blocked;
mod breaker;
mod builder;
pub mod classify;
pub mod claude;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod definition;
pub mod describe;
pub mod engine;
pub mod error;
pub mod event;
mod executor;
mod inserter;
pub mod job;
mod known;
mod merge;
mod node;
pub mod notice;
pub mod options;
pub mod outcome;
pub mod output;
mod panic;
#[cfg(feature = "cli")]
mod passthrough;
mod producer;
pub mod queue;
pub mod registry;
pub mod retention;
mod run;
pub mod runtime;
pub mod schedule;
mod secrets;
mod service;
pub mod settlement;
pub mod telemetry;
pub mod testing;
pub mod unique;
mod untrusted;
pub mod verdict;
mod wakes;
pub mod worker;

#[doc(hidden)]
pub mod __private;

pub use builder::JobBuilder;
pub use claude_jobs_macros::claude_worker;
pub use engine::Limits;
pub use error::{Error, Result};
pub use job::{Inserted, Job, JobId, NewJob, State};
pub use options::Args;
pub use outcome::{Failure, FailureKind, Outcome, Run};
pub use queue::Queue;
pub use run::{RunOptions, run};
pub use runtime::{Runtime, shutdown_signal};
pub use verdict::Verdict;
pub use worker::{Ctx, Handler, HandlerError, Worker};

// For moments in time and the derives of output types, in programs that do not depend on them.
pub use jiff;
pub use schemars;
pub use serde;

/// What most programs need: `use claude_jobs::prelude::*;`.
pub mod prelude {
    pub use crate::options::{ArgMap, Args};
    pub use crate::outcome::{Failure, Run};
    pub use crate::worker::{HandlerError, Result};
    pub use crate::{
        Ctx, Handler, Job, JobId, Limits, Queue, Runtime, State, Verdict, Worker, args, claude_worker,
        shutdown_signal,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}

#[cfg(all(doctest, feature = "sqlite"))]
mod guides;
