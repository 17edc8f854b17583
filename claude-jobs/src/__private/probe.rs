//! The optional handler: does worker `W` implement [`Handler`]?
//!
//! Method calls prefer a candidate that needs no further reference (the technique of `anyhow!`). For
//! `(&Probe::<W>::NEW).hooks()` that is [`WithHandler`], implemented for `Probe<W>` where
//! `W: Handler`; where that bound does not hold, [`WithoutHandler`], implemented for `&Probe<W>`, is
//! the next. It is sound because generated code names a concrete `W`: with a type parameter the
//! bound could never be proved and the handler would be skipped without a word, which is why the
//! attribute refuses generics.

use std::fmt::Display;
use std::marker::PhantomData;

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

/// A worker's two handlers, as function pointers.
#[derive(Debug)]
pub struct Hooks<W: Worker> {
    result: for<'a> fn(&'a W, W::Output, &'a Run, &'a mut Ctx) -> BoxFuture<'a, Verdict>,
    error: for<'a> fn(&'a W, Verdict, &'a Failure, &'a mut Ctx) -> BoxFuture<'a, Verdict>,
}

/// Chosen when `W` implements [`Handler`].
pub trait WithHandler<W: Worker> {
    /// The worker's own handlers.
    fn hooks(&self) -> Hooks<W>;
}

impl<W: Handler> WithHandler<W> for Probe<W> {
    fn hooks(&self) -> Hooks<W> {
        Hooks {
            result: |worker, output, run, cx| Box::pin(worker.handle_result(output, run, cx)),
            error: |worker, verdict, failure, cx| Box::pin(worker.handle_error(verdict, failure, cx)),
        }
    }
}

/// Chosen otherwise.
pub trait WithoutHandler<W: Worker> {
    /// Handlers that let the classifier's verdict stand.
    fn hooks(&self) -> Hooks<W>;
}

impl<W: Worker> WithoutHandler<W> for &Probe<W> {
    fn hooks(&self) -> Hooks<W> {
        Hooks {
            result: |_, _, _, _| Box::pin(async { Verdict::Complete }),
            error: |_, verdict, _, _| Box::pin(async { verdict }),
        }
    }
}

struct Loaded<W: Worker> {
    worker: W,
    hooks: Hooks<W>,
}

/// Reads a worker from a row's input.
///
/// # Errors
///
/// Says which field is missing or has the wrong type; values are left out.
pub fn load<W: Worker>(input: &serde_json::Value, hooks: Hooks<W>) -> Result<Box<dyn LoadedWorker>, String> {
    let fields = W::DEFINITION.fields;
    let read = if fields.is_empty() { from_nothing() } else { W::deserialize(input) };
    match read {
        Ok(worker) => Ok(Box::new(Loaded { worker, hooks })),
        Err(error) => Err(input_problem(fields, input, &error)),
    }
}

/// A worker without fields, whatever the row says: `struct W;` or `struct W {}`.
fn from_nothing<W: Worker>() -> Result<W, serde_json::Error> {
    W::deserialize(&serde_json::Value::Null).or_else(|_| W::deserialize(&serde_json::json!({})))
}

/// serde's message, unless it may quote the input.
fn input_problem(fields: &[&str], input: &serde_json::Value, error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") {
        return text;
    }
    if !input.is_object() {
        return "the input is not a JSON object".to_owned();
    }
    format!("a field has the wrong type (the fields are `{}`)", fields.join("`, `"))
}

impl<W: Worker> LoadedWorker for Loaded<W> {
    fn show_values(&self, show: &mut dyn FnMut(&dyn Display)) {
        self.worker.show_values(show);
    }

    fn mismatch(&self, run: &Run) -> Option<Mismatch> {
        W::output(run).err()
    }

    fn handle_result<'a>(
        &'a self,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Result<Verdict, Mismatch>> {
        match W::output(run) {
            Ok(output) => {
                let verdict = (self.hooks.result)(&self.worker, output, run, cx);
                Box::pin(async { Ok(verdict.await) })
            }
            Err(problem) => Box::pin(async { Err(problem) }),
        }
    }

    fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        failure: &'a Failure,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Verdict> {
        (self.hooks.error)(&self.worker, verdict, failure, cx)
    }
}

#[cfg(test)]
mod tests;
