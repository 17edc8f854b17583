//! All that generated code may name. Not part of the public interface: it changes without notice.

pub use ::claude_jobs_macros::{args, unknown_key, unknown_option};
pub use ::inventory;
pub use ::serde;
pub use ::serde_json::{Value, to_value};

pub use crate::app_state::StateType;
pub use crate::builder::JobBuilder;
pub use crate::classify::Classifier;
pub use crate::definition::{Definition, OnLost, Placeholder, RetryFrom};
pub use crate::job::State;
pub use crate::options::rights::GRANTING;
pub use crate::options::rules::SHOWN_AT;
pub use crate::options::{Args, Const, Literal, Part, Setting, Settings, Template, Templates};
pub use crate::outcome::Run;
pub use crate::output::{Mismatch, OutputType};
pub use crate::registry::{Linked, Loaded, LoadedWorker, Registration};
pub use crate::schedule::{IfBusy, Missed, WorkerCron};
pub use crate::settlement::Backoff;
pub use crate::unique::{UniqueDefault, UniqueField};
pub use crate::worker::Worker;

mod args;
mod constant;
mod option;
mod output;
mod period;
mod probe;
mod show;

pub use constant::{CanBeAnOption, NotForOptions};
pub use option::{key, option};
pub use output::{Contract, contract};
pub use period::UniquePeriod;
pub(crate) use probe::read;
pub use probe::{Probe, WithHandler, WithoutHandler};
pub use show::{CanStandInATemplate, Json, Shown, WithDisplay, WithoutDisplay, samples};
