//! [`Passthrough`]: the built-in worker `claude`, whose jobs carry everything themselves.
//!
//! Written by hand rather than with the attribute, because it must not announce itself: a program
//! may have a worker of that name of its own. The command line adds it where there is none.

use serde::{Deserialize, Serialize};

use crate::__private::{Probe, WithoutHandler};
use crate::definition::Definition;
use crate::outcome::Run;
use crate::output::Mismatch;
use crate::registry::Registration;
use crate::worker::Worker;

/// Runs the job's own prompt with the job's own options.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Passthrough;

impl Worker for Passthrough {
    type Output = String;

    const DEFINITION: Definition = Definition {
        max_attempts: 3,
        defined_at: concat!(file!(), ":", line!()),
        ..Definition::new("claude", "default")
    };

    fn output(run: &Run) -> Result<String, Mismatch> {
        Ok(run.text().to_owned())
    }

    fn registration() -> &'static Registration {
        static REGISTRATION: Registration = Registration {
            definition: &Passthrough::DEFINITION,
            load: |input| (&Probe::<Passthrough>::NEW).load(input),
        };
        &REGISTRATION
    }
}
