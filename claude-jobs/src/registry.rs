//! The workers of this program, by name.
//!
//! Every annotated worker that is linked in announces itself (`inventory`); a [`Registry`] is the
//! checked map from name to worker.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;

use serde_json::Value;

use crate::definition::Definition;
use crate::describe::Description;
use crate::error::{Error, Result};
use crate::outcome::{Failure, Run};
use crate::output::Mismatch;
use crate::verdict::Verdict;
use crate::worker::{Ctx, Handler, Worker};

/// A future on the heap, for the seams where types are erased.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a handler has decided, or whatever went wrong in it.
pub type Handled = crate::worker::Result<Verdict>;

/// How a runtime finds and runs a worker. Made by generated code.
pub struct Registration {
    /// What the attribute says.
    pub definition: &'static Definition,
    /// Reads a worker from a row's input.
    pub load: fn(&Value) -> Loaded,
}

/// A worker read from a row, or serde's error.
pub type Loaded = serde_json::Result<LoadedWorker>;

/// A registration that is linked into this program.
#[derive(Debug)]
pub struct Linked(pub &'static Registration);

inventory::collect!(Linked);

impl Registration {
    /// Reads a worker from a row's input.
    ///
    /// # Errors
    ///
    /// Says which field is missing or has the wrong type; values are left out.
    pub fn read(&self, input: &Value) -> Result<LoadedWorker, String> {
        (self.load)(input).map_err(|error| self.definition.input_problem(input, &error))
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Registration").field(&self.definition.name).finish()
    }
}

/// A worker with its fields, its type erased.
///
/// Each method of the traits in it is compiled once per worker of the user's program: what need not know the
/// type is said here instead.
pub enum LoadedWorker {
    /// The classifier's verdict stands.
    Unhandled(Box<dyn ShowValues>),
    /// It has handlers of its own.
    Handled(Box<dyn HandleAny>),
}

impl LoadedWorker {
    /// Whether it has handlers of its own, for which an answer is stored.
    pub(crate) const fn is_handled(&self) -> bool {
        matches!(self, Self::Handled(_))
    }

    /// Shows the values for the worker's templates.
    pub(crate) fn show_values(&self, show: &mut dyn FnMut(&dyn fmt::Display)) {
        match self {
            Self::Unhandled(worker) => worker.show_values(show),
            Self::Handled(worker) => worker.show_values(show),
        }
    }

    /// The last word after a successful run.
    ///
    /// # Errors
    ///
    /// What [`Definition::mismatch`] says.
    pub(crate) fn handle_result<'a>(
        &'a self,
        definition: &Definition,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> Result<BoxFuture<'a, Handled>, Mismatch> {
        match self {
            Self::Unhandled(_) => match definition.mismatch(run) {
                Some(mismatch) => Err(mismatch),
                None => Ok(Box::pin(ready(Ok(Verdict::Complete)))),
            },
            Self::Handled(worker) => worker.handle_result(run, cx),
        }
    }

    /// The last word after a failed run.
    pub(crate) fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        failure: &'a Failure,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Handled> {
        match self {
            Self::Unhandled(_) => Box::pin(ready(Ok(verdict))),
            Self::Handled(worker) => worker.handle_error(verdict, failure, run, cx),
        }
    }
}

impl fmt::Debug for LoadedWorker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LoadedWorker")
    }
}

/// [`Worker::show_values`] of any worker.
pub trait ShowValues: Send + Sync {
    /// Shows the values for the worker's templates.
    fn show_values(&self, show: &mut dyn FnMut(&dyn fmt::Display));
}

impl<W: Worker> ShowValues for W {
    fn show_values(&self, show: &mut dyn FnMut(&dyn fmt::Display)) {
        Worker::show_values(self, show);
    }
}

/// [`Handler`] of any worker that has one.
pub trait HandleAny: ShowValues {
    /// The last word after a successful run.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer, where it is not the worker's `Output`.
    fn handle_result<'a>(&'a self, run: &'a Run, cx: &'a mut Ctx)
    -> Result<BoxFuture<'a, Handled>, Mismatch>;

    /// The last word after a failed run.
    fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        failure: &'a Failure,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Handled>;
}

impl<W: Handler> HandleAny for W {
    fn handle_result<'a>(
        &'a self,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> Result<BoxFuture<'a, Handled>, Mismatch> {
        let output = W::output(run)?;
        Ok(Box::pin(Handler::handle_result(self, output, run, cx)))
    }

    fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        failure: &'a Failure,
        run: &'a Run,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Handled> {
        Box::pin(Handler::handle_error(self, verdict, failure, run, cx))
    }
}

/// Every worker that is linked into this program, by name: what `claude-jobs workers list` shows.
///
/// ```standalone_crate
/// use claude_jobs::prelude::*;
///
/// /// Summarizes a repository.
/// #[claude_worker(queue = "summaries", prompt = "Summarize {repository}.")]
/// struct Summary {
///     repository: String,
/// }
///
/// let workers = claude_jobs::registry::workers()?;
/// let summary = workers.iter().find(|worker| worker.name == "Summary").unwrap();
/// assert_eq!(summary.fields[0].name, "repository");
/// assert_eq!(*summary, Summary::describe());
/// # Ok::<_, claude_jobs::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::DuplicateWorker`] when two have one name.
pub fn workers() -> Result<Vec<Description>> {
    Ok(Registry::linked()?.definitions().map(Description::from).collect())
}

/// The workers that a queue or runtime knows.
#[derive(Clone, Debug, Default)]
pub struct Registry(BTreeMap<&'static str, &'static Registration>);

impl Registry {
    /// Every worker that is linked into this program.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateWorker`] when two have one name.
    pub fn linked() -> Result<Self> {
        let mut registry = Self::default();
        for Linked(registration) in inventory::iter::<Linked> {
            registry.add(registration)?;
        }
        Ok(registry)
    }

    /// Adds a worker; adding the same one again changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::DuplicateWorker`] when another has its name.
    pub fn add(&mut self, registration: &'static Registration) -> Result<()> {
        let definition = registration.definition;
        match self.0.insert(definition.name, registration) {
            Some(other) if other.definition.defined_at != definition.defined_at => {
                Err(Error::DuplicateWorker {
                    name: definition.name.to_owned(),
                    first: other.definition.defined_at.to_owned(),
                    second: definition.defined_at.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// The worker of that name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownWorker`] with the known names.
    pub fn get(&self, name: &str) -> Result<&'static Registration> {
        self.0.get(name).copied().ok_or_else(|| Error::UnknownWorker {
            name: name.to_owned(),
            hint: match &*self.names() {
                [] => "this program knows no worker; link or register it here".to_owned(),
                names => format!("this program knows {}; link or register it here", names.join(", ")),
            },
        })
    }

    /// Every name, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    /// Every worker's definition, by name.
    pub fn definitions(&self) -> impl Iterator<Item = &'static Definition> {
        self.0.values().map(|registration| registration.definition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(defined_at: &'static str) -> &'static Registration {
        let definition = Definition { defined_at, ..Definition::new("review", "q") };
        let load = |_: &Value| Err(serde::de::Error::custom("nobody asks"));
        Box::leak(Box::new(Registration { definition: Box::leak(Box::new(definition)), load }))
    }

    #[test]
    fn two_workers_of_one_name_are_refused_with_both_places() {
        let mut registry = Registry::default();
        registry.add(registration("src/a.rs:1")).expect("the first");
        registry.add(registration("src/a.rs:1")).expect("the same again");
        let problem = registry.add(registration("src/b.rs:2")).expect_err("another").to_string();
        for part in ["`review`", "src/a.rs:1", "src/b.rs:2"] {
            assert!(problem.contains(part), "{problem}");
        }
    }
}
