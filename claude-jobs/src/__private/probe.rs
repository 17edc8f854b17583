//! The optional handler: does worker `W` implement [`Handler`]?
//!
//! Method calls prefer a candidate that needs no further reference (the technique of `anyhow!`). For
//! `(&Probe::<W>::NEW).load(input)` that is [`WithHandler`], implemented for `Probe<W>` where
//! `W: Handler`; where that bound does not hold, [`WithoutHandler`], implemented for `&Probe<W>`, is
//! the next. It is sound because generated code names a concrete `W`: with a type parameter the
//! bound could never be proved and the handler would be skipped without a word, which is why the
//! attribute refuses generics.

use std::borrow::Cow;
use std::fmt::Display;
use std::future::ready;
use std::marker::PhantomData;

use serde_json::{Map, Value};

use crate::outcome::{Failure, Run};
use crate::output::Mismatch;
use crate::registry::{BoxFuture, LoadedWorker};
use crate::verdict::Verdict;
use crate::worker::{Ctx, Handler, Worker};

/// Stands for a worker type in the question above.
#[derive(Debug)]
pub struct Probe<W>(PhantomData<fn() -> W>);

impl<W> Probe<W> {
    /// The probe.
    pub const NEW: Self = Self(PhantomData);
}

/// Chosen when `W` implements [`Handler`].
pub trait WithHandler<W: Worker> {
    /// Reads a worker that has handlers of its own.
    ///
    /// # Errors
    ///
    /// Says which field is missing or has the wrong type; values are left out.
    fn load(&self, input: &Value) -> Result<Box<dyn LoadedWorker>, String>;
}

impl<W: Handler> WithHandler<W> for Probe<W> {
    fn load(&self, input: &Value) -> Result<Box<dyn LoadedWorker>, String> {
        Ok(Box::new(Handled(read::<W>(input)?)))
    }
}

/// Chosen otherwise.
pub trait WithoutHandler<W: Worker> {
    /// Reads a worker that lets the classifier's verdict stand.
    ///
    /// # Errors
    ///
    /// As [`WithHandler::load`].
    fn load(&self, input: &Value) -> Result<Box<dyn LoadedWorker>, String>;
}

impl<W: Worker> WithoutHandler<W> for &Probe<W> {
    fn load(&self, input: &Value) -> Result<Box<dyn LoadedWorker>, String> {
        Ok(Box::new(Unhandled(read::<W>(input)?)))
    }
}

// What is generic below is compiled once for each of the user's workers: all that does not name `W` is in
// functions of its own.

/// The worker with these fields.
pub(crate) fn read<W: Worker>(input: &Value) -> Result<W, String> {
    let fields = W::registration().definition.fields;
    let mut problem = None;
    for form in &forms(fields, input) {
        match W::deserialize(&**form) {
            Ok(worker) => return Ok(worker),
            Err(error) => problem = Some(error),
        }
    }
    Err(input_problem(fields, input, problem))
}

/// The input in the forms that may be read. A worker without fields, `struct W;` or `struct W {}`, is there
/// whatever the row says.
fn forms<'a>(fields: &[&str], input: &'a Value) -> Vec<Cow<'a, Value>> {
    if fields.is_empty() {
        vec![Cow::Owned(Value::Null), Cow::Owned(Value::Object(Map::new()))]
    } else {
        vec![Cow::Borrowed(input)]
    }
}

/// serde's message, unless it may quote the input.
fn input_problem(fields: &[&str], input: &Value, error: Option<serde_json::Error>) -> String {
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    if text.starts_with("missing field") {
        return text;
    }
    if !input.is_object() {
        return "the input is not a JSON object".to_owned();
    }
    format!("a field has the wrong type (the fields are `{}`)", fields.join("`, `"))
}

/// What a worker does whether it has a handler or not.
macro_rules! with_or_without_handler {
    () => {
        fn show_values(&self, show: &mut dyn FnMut(&dyn Display)) {
            self.0.show_values(show);
        }

        fn mismatch(&self, run: &Run) -> Option<Mismatch> {
            mismatch::<W>(run)
        }
    };
}

struct Handled<W>(W);

impl<W: Handler> LoadedWorker for Handled<W> {
    with_or_without_handler!();

    fn handle_result<'a>(
        &'a self,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> Result<BoxFuture<'a, Verdict>, Mismatch> {
        let output = W::output(run)?;
        Ok(Box::pin(self.0.handle_result(output, run, cx)))
    }

    fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        failure: &'a Failure,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.0.handle_error(verdict, failure, cx))
    }
}

struct Unhandled<W>(W);

impl<W: Worker> LoadedWorker for Unhandled<W> {
    with_or_without_handler!();

    fn handle_result<'a>(
        &'a self,
        run: &'a Run,
        _cx: &'a mut Ctx,
    ) -> Result<BoxFuture<'a, Verdict>, Mismatch> {
        match mismatch::<W>(run) {
            Some(mismatch) => Err(mismatch),
            None => Ok(stands(Verdict::Complete)),
        }
    }

    fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        _failure: &'a Failure,
        _cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Verdict> {
        stands(verdict)
    }
}

/// Any answer is text, so that only a worker with a type of its own has to look.
fn mismatch<W: Worker>(run: &Run) -> Option<Mismatch> {
    if const { W::DEFINITION.output.is_none() } {
        return None;
    }
    W::output(run).err()
}

fn stands(verdict: Verdict) -> BoxFuture<'static, Verdict> {
    Box::pin(ready(verdict))
}

#[cfg(test)]
mod tests;
