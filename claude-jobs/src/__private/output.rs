//! [`Contract`]: `output = Type` of the attribute, as a static of the generated code.
//!
//! It asks for [`Output`] in one place only, [`contract`], so that a type without the derives is one
//! error at the user's own token.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::outcome::Run;
use crate::output::{Mismatch, Output, OutputSchema};

/// What claude is to answer a worker with.
#[derive(Debug)]
pub struct Contract<T> {
    make: fn() -> Result<OutputSchema, String>,
    made: OnceLock<Result<OutputSchema, String>>,
    read: fn(&OutputSchema, &Run) -> Result<T, Mismatch>,
}

/// The contract of a type. Its schema is made when it is first needed. (No function of the type itself: about
/// such a one rustc would not say what [`Output`] has to say.)
pub const fn contract<T: Output>() -> Contract<T> {
    Contract { make: OutputSchema::of::<T>, made: OnceLock::new(), read: read::<T> }
}

impl<T> Contract<T> {
    /// The schema.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn schema(&'static self) -> Result<&'static OutputSchema, String> {
        self.made.get_or_init(self.make).as_ref().map_err(Clone::clone)
    }

    /// The answer of a run.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(&'static self, run: &Run) -> Result<T, Mismatch> {
        let schema = self.schema().map_err(|problem| Mismatch::refused(&problem))?;
        (self.read)(schema, run)
    }
}

fn read<T: DeserializeOwned>(schema: &OutputSchema, run: &Run) -> Result<T, Mismatch> {
    schema.read(run.structured())
}
