//! The optional handler: does worker `W` implement [`Handler`]?
//!
//! Method calls prefer a candidate that needs no further reference (the technique of `anyhow!`). For
//! `(&Probe::<W>::NEW).load(input)` that is [`WithHandler`], implemented for `Probe<W>` where
//! `W: Handler`; where that bound does not hold, [`WithoutHandler`], implemented for `&Probe<W>`, is
//! the next. It is sound because generated code names a concrete `W`: with a type parameter the
//! bound could never be proved and the handler would be skipped without a word, which is why the
//! attribute refuses generics.

use std::marker::PhantomData;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::registry::{Loaded, LoadedWorker};
use crate::worker::{Handler, Worker};

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
    /// Serde's, about a field.
    fn load(&self, input: &Value) -> Loaded;
}

impl<W: Handler> WithHandler<W> for Probe<W> {
    #[inline(always)]
    fn load(&self, input: &Value) -> Loaded {
        Ok(LoadedWorker::Handled(Box::new(read::<W>(input)?)))
    }
}

/// Chosen otherwise.
pub trait WithoutHandler<W: Worker> {
    /// Reads a worker that lets the classifier's verdict stand.
    ///
    /// # Errors
    ///
    /// As [`WithHandler::load`].
    fn load(&self, input: &Value) -> Loaded;
}

impl<W: Worker> WithoutHandler<W> for &Probe<W> {
    #[inline(always)]
    fn load(&self, input: &Value) -> Loaded {
        Ok(LoadedWorker::Unhandled(Box::new(read::<W>(input)?)))
    }
}

/// The worker with these fields.
pub(crate) fn read<W: Worker>(input: &Value) -> serde_json::Result<W> {
    if const { W::DEFINITION.fields.is_empty() } {
        let [unit, braces] = without_fields();
        return W::deserialize(unit).or_else(|_| W::deserialize(braces));
    }
    W::deserialize(input)
}

/// A worker without fields is there whatever the row says: as serde reads `struct W;` and `struct W {}`.
fn without_fields() -> [&'static Value; 2] {
    static BRACES: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    [&Value::Null, &BRACES]
}

#[cfg(test)]
mod tests;
