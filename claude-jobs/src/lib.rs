//! tour
#[doc(hidden)]
pub mod __private;
mod builder;
pub mod classify;
pub mod clock;
pub mod error;
pub mod job;
pub mod options;
pub mod outcome;
pub mod queue;
pub mod registry;
pub mod settlement;
pub mod unique;
pub mod verdict;
pub mod worker;
pub use builder::JobBuilder;
pub use outcome::{Failure, Outcome, Run};
pub use verdict::Verdict;
#[macro_export]
macro_rules! args {
    () => {};
}
