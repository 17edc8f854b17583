//! Uniqueness: which jobs count as the same, for how long, in which states.
//!
//! The rule becomes a key (a digest) and a window; a unique index in the database does the rest, so
//! that of two processes that insert the same job at once exactly one wins.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::job::{NewJob, State};

/// A rule by which a job counts as a duplicate of one that is there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unique {
    /// For how long after the first one's insertion; `None` for always.
    pub period: Option<Duration>,
    /// What must be the same.
    pub by: Vec<UniqueField>,
    /// In which states the first one counts; `scheduled` and `available` must be among them. Once it
    /// has left them it never counts again.
    pub states: Vec<State>,
}

/// A part of a job that can make it the same as another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UniqueField {
    /// The worker's name.
    Worker,
    /// The queue.
    Queue,
    /// All fields and all of the job's own options.
    Args,
    /// One field of the worker, or else one option of the job, by name. Absent equals absent.
    Key(Cow<'static, str>),
}

/// A [`Unique`] as a worker's definition holds it.
#[derive(Clone, Copy, Debug)]
pub struct UniqueDefault {
    /// Seconds.
    pub period: u64,
    /// Empty for the default.
    pub by: &'static [UniqueField],
    /// Empty for the default.
    pub states: &'static [State],
}

impl Unique {
    /// By default a job is the same when worker, queue and args are.
    pub const DEFAULT_FIELDS: &'static [UniqueField] =
        &[UniqueField::Worker, UniqueField::Queue, UniqueField::Args];

    /// By default the first one counts unless it was cancelled or discarded.
    pub const DEFAULT_STATES: &'static [State] =
        &[State::Scheduled, State::Available, State::Executing, State::Retryable, State::Completed];

    /// Unique for `period` after insertion.
    pub fn within(period: Duration) -> Self {
        Self { period: Some(period), ..Self::forever() }
    }

    /// Unique for as long as the first one is there in one of the states.
    pub fn forever() -> Self {
        Self { period: None, by: Self::DEFAULT_FIELDS.to_vec(), states: Self::DEFAULT_STATES.to_vec() }
    }

    /// As the worker has it; for ever, where it has none.
    pub(crate) fn of_worker(default: Option<UniqueDefault>) -> Self {
        default.map_or_else(Self::forever, Self::from)
    }

    /// The same, by other parts of the job.
    #[must_use]
    pub fn by(self, by: impl IntoIterator<Item = UniqueField>) -> Self {
        Self { by: by.into_iter().collect(), ..self }
    }

    /// The same, while the first one is in other states; `scheduled` and `available` must be among them.
    #[must_use]
    pub fn states(self, states: impl IntoIterator<Item = State>) -> Self {
        Self { states: states.into_iter().collect(), ..self }
    }

    /// A job that does not count while it waits for its first run could never be found.
    pub(crate) fn check(&self) -> Result<(), String> {
        let counts_while_waiting =
            [State::Scheduled, State::Available].iter().all(|state| self.states.contains(state));
        match (counts_while_waiting, self.by.is_empty()) {
            (false, _) => Err("unique_states: `scheduled` and `available` must be among them".to_owned()),
            (_, true) => Err("unique_by: name at least one part of the job".to_owned()),
            (true, false) => Ok(()),
        }
    }

    /// The digest of what must not occur twice: SHA-256 over canonical JSON, in hexadecimal.
    pub(crate) fn key(&self, job: &NewJob) -> String {
        let args = || Value::Object(job.args.iter().map(|(k, v)| (k.to_owned(), v.clone())).collect());
        let mut parts = Map::new();
        for field in &self.by {
            let (name, value) = match field {
                UniqueField::Worker => ("worker".to_owned(), Value::from(job.worker.as_str())),
                UniqueField::Queue => ("queue".to_owned(), Value::from(job.queue.as_deref())),
                UniqueField::Args => ("args".to_owned(), Value::Array(vec![job.input.clone(), args()])),
                UniqueField::Key(name) => {
                    let value = job.input.get(&**name).or_else(|| job.args.get(name));
                    (format!("key.{name}"), value.cloned().unwrap_or(Value::Null))
                }
            };
            parts.insert(name, value);
        }
        let mut canonical = String::new();
        write_canonical(&Value::Object(parts), &mut canonical);
        Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<UniqueDefault> for Unique {
    fn from(default: UniqueDefault) -> Self {
        let mut unique = Self::within(Duration::from_secs(default.period));
        if !default.by.is_empty() {
            unique.by = default.by.to_vec();
        }
        if !default.states.is_empty() {
            unique.states = default.states.to_vec();
        }
        unique
    }
}

/// JSON with the keys of each object in order, whatever order they were given in (another crate may
/// have switched on `serde_json/preserve_order`).
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(worker: &str, input: Value) -> NewJob {
        NewJob::new(worker, input)
    }

    #[test]
    fn same_content_same_key() {
        let unique = Unique::forever();
        let one = job("w", json!({"a": 1, "b": {"x": 1, "y": 2}}));
        let same = job("w", serde_json::from_str(r#"{"b":{"y":2,"x":1},"a":1}"#).expect("JSON"));
        assert_eq!(unique.key(&one), unique.key(&same));
        assert_ne!(unique.key(&one), unique.key(&job("w", json!({"a": 2, "b": {"x": 1, "y": 2}}))));
        assert_ne!(unique.key(&one), unique.key(&job("v", one.input.clone())));
    }

    #[test]
    fn chosen_keys_ignore_the_rest() {
        let mut unique = Unique::forever();
        unique.by = vec![UniqueField::Worker, UniqueField::Key("number".into())];
        let one = job("w", json!({"number": 7, "title": "x"}));
        assert_eq!(unique.key(&one), unique.key(&job("w", json!({"number": 7, "title": "y"}))));
        assert_ne!(unique.key(&one), unique.key(&job("w", json!({"number": 8, "title": "x"}))));
    }
}
