//! What an application gives its handlers: values, found by their type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::definition::Definition;
use crate::error::{Error, Result};

/// The values, at most one of each type. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct AppState(HashMap<TypeId, Held>);

#[derive(Clone)]
struct Held {
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

/// What a worker's `state = Type` says.
#[derive(Clone, Copy, Debug)]
pub struct StateType {
    /// The type, as the attribute writes it.
    pub name: &'static str,
    id: fn() -> TypeId,
}

impl StateType {
    /// The type that the attribute writes so.
    pub const fn of<T: Send + Sync + 'static>(name: &'static str) -> Self {
        Self { name, id: TypeId::of::<T> }
    }
}

impl AppState {
    /// Adds a value; one of the same type is replaced.
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Held { name: type_name::<T>(), value: Arc::new(value) });
    }

    /// The value of that type.
    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let held = self.0.get(&TypeId::of::<T>())?;
        Arc::clone(&held.value).downcast().ok()
    }

    /// Whether it has what a worker declares.
    pub(crate) fn suits(&self, worker: &Definition) -> bool {
        worker.state.is_none_or(|state| self.0.contains_key(&(state.id)()))
    }

    /// # Errors
    ///
    /// [`Error::Configuration`] where it lacks what a worker declares.
    pub(crate) fn check(&self, worker: &Definition) -> Result<()> {
        match worker.state {
            Some(state) if !self.suits(worker) => Err(Error::Configuration(format!(
                "worker `{}` ({}) has `state = {}`, and its handler would find none: {self}; give it with \
                 `.state(…)` to `Runtime::builder(…)`, to the builder of `cli::main_with`, or to the test kit",
                worker.name, worker.defined_at, state.name
            ))),
            _ => Ok(()),
        }
    }
}

/// What there is, for messages.
impl fmt::Display for AppState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("no state was given");
        }
        let mut names: Vec<_> = self.0.values().map(|held| held.name).collect();
        names.sort_unstable();
        write!(formatter, "the state that was given is `{}`", names.join("`, `"))
    }
}

/// Without the values: they are the application's.
impl fmt::Debug for AppState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.values().map(|held| held.name)).finish()
    }
}
