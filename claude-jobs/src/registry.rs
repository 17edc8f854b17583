//! The workers of this program, by name.
//!
//! Every annotated worker that is linked in announces itself (`inventory`); a [`Registry`] is the
//! checked map from name to worker.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use crate::definition::Definition;
use crate::describe::Description;
use crate::error::{Error, Result};
use crate::outcome::{Failure, Run};
use crate::output::Mismatch;
use crate::verdict::Verdict;
use crate::worker::Ctx;

/// A future on the heap, for the seams where types are erased.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a runtime finds and runs a worker. Made by generated code.
pub struct Registration {
    /// What the attribute says.
    pub definition: &'static Definition,
    /// Reads a worker from a row's input.
    pub load: fn(&Value) -> Result<Box<dyn LoadedWorker>, String>,
}

inventory::collect!(Registration);

impl fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Registration").field(&self.definition.name).finish()
    }
}

/// A worker with its fields, its type erased.
pub trait LoadedWorker: Send + Sync {
    /// Shows the values for the worker's templates.
    fn show_values(&self, show: &mut dyn FnMut(&dyn fmt::Display));

    /// What is wrong with the answer of a successful run, where it is not the worker's `Output`.
    fn mismatch(&self, run: &Run) -> Option<Mismatch>;

    /// The last word after a successful run.
    ///
    /// # Errors
    ///
    /// What [`mismatch`](Self::mismatch) says.
    fn handle_result<'a>(&'a self, run: &'a Run, cx: &'a mut Ctx)
    -> Result<BoxFuture<'a, Verdict>, Mismatch>;

    /// The last word after a failed run.
    fn handle_error<'a>(
        &'a self,
        verdict: Verdict,
        failure: &'a Failure,
        cx: &'a mut Ctx,
    ) -> BoxFuture<'a, Verdict>;
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
        for registration in inventory::iter::<Registration> {
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
            hint: format!("this program knows {}; link or register it here", self.names().join(", ")),
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
        let load = |_: &Value| Err("nobody asks".to_owned());
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
