//! [`NewJob`]: a job to insert, by the worker's name. Workers make one through
//! [`JobBuilder`](crate::JobBuilder).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{JobRow, State, UniqueRow};
use crate::clock::later;
use crate::definition::Definition;
use crate::error::{Error, Result};
use crate::merge::Layers;
use crate::options::ArgMap;
use crate::telemetry::TraceContext;
use crate::unique::Unique;
use crate::untrusted::Values;

/// A job to insert. Fields left `None` take the worker's defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewJob {
    /// The worker's name.
    pub worker: String,
    /// The worker's fields, as JSON.
    pub input: Value,
    /// The job's own layer of options.
    pub args: ArgMap,
    /// The queue.
    pub queue: Option<String>,
    /// 0 (first) to 9 (last).
    pub priority: Option<u8>,
    /// How many counted attempts it may use, at least 1.
    pub max_attempts: Option<u32>,
    /// How many snoozes it may use.
    pub max_snoozes: Option<u32>,
    /// When it may run.
    pub schedule: Schedule,
    /// What must not occur twice.
    pub unique: Option<Unique>,
    /// Only so many jobs with the same key run at once, on all nodes and in all queues: as many as the
    /// queue's [`Limits::per_key`](crate::engine::Limits::per_key) says, one by default. 1 to 512
    /// characters, none of them a control character. Where the worker names a field or an option as its
    /// `concurrency_key`, `name=value` is the default.
    pub concurrency_key: Option<String>,
    /// The user's own notes.
    pub meta: Map<String, Value>,
    /// Labels to filter by, besides the worker's.
    pub tags: Vec<String>,
    /// The trace that its runs continue. Default: that in which it is inserted, where this process's tracing
    /// is [connected](crate::telemetry::set_propagator).
    pub trace: Option<TraceContext>,
}

/// When a new job may run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Schedule {
    /// At once.
    #[default]
    Now,
    /// After this long.
    In(Duration),
    /// At this moment; one in the past means at once.
    At(Timestamp),
}

impl NewJob {
    /// A job for the worker of that name, with these fields.
    pub fn new(worker: impl Into<String>, input: Value) -> Self {
        Self {
            worker: worker.into(),
            input,
            args: ArgMap::new(),
            queue: None,
            priority: None,
            max_attempts: None,
            max_snoozes: None,
            schedule: Schedule::Now,
            unique: None,
            concurrency_key: None,
            meta: Map::new(),
            tags: Vec::new(),
            trace: None,
        }
    }

    /// Checks the job against its worker's definition and fixes its times.
    pub(crate) fn into_row(
        mut self,
        definition: &Definition,
        values: &Values,
        now: Timestamp,
    ) -> Result<JobRow> {
        let layers = Layers::new(definition, values, &self.args);
        // The runtime's defaults come beneath them when the job runs.
        layers.merge(definition, values)?;
        let derived_key = self.derived_key(definition, &layers);
        self.queue.get_or_insert_with(|| definition.queue.to_owned());
        self.tags.splice(0..0, definition.tags.iter().map(|tag| (*tag).to_owned()));
        let mut seen = std::collections::HashSet::new();
        self.tags.retain(|tag| seen.insert(tag.clone()));
        self.concurrency_key = self.concurrency_key.take().or(derived_key);
        self.check_settings()?;

        let unique = self.unique.clone().or_else(|| definition.unique.map(Unique::from));
        if let Some(unique) = &unique {
            unique.check().map_err(Error::InvalidJob)?;
        }
        let unique = unique.map(|unique| UniqueRow::new(&unique, &self, now));
        let scheduled_at = match self.schedule {
            Schedule::Now => now,
            Schedule::In(delay) => later(now, delay),
            Schedule::At(moment) => moment,
        };
        Ok(JobRow {
            state: if scheduled_at > now { State::Scheduled } else { State::Available },
            queue: self.queue.unwrap_or_else(|| definition.queue.to_owned()),
            worker: self.worker,
            input: self.input,
            args: self.args,
            meta: self.meta,
            tags: self.tags,
            priority: self.priority.unwrap_or(definition.priority),
            max_attempts: self.max_attempts.unwrap_or(definition.max_attempts),
            max_snoozes: self.max_snoozes.unwrap_or(definition.max_snoozes),
            inserted_at: now,
            scheduled_at: scheduled_at.max(now),
            concurrency_key: self.concurrency_key,
            unique,
            trace: self.trace.map(|trace| trace.to_string()),
        })
    }

    /// `name=value` of the field or option that the worker names; none where it has no value. Workers
    /// that name the same one, such as `working_dir`, share their keys.
    fn derived_key(&self, definition: &Definition, layers: &Layers<'_>) -> Option<String> {
        let name = definition.concurrency_key?;
        match self.input.get(name).or_else(|| layers.get(name))? {
            Value::Null => None,
            Value::String(text) => Some(format!("{name}={text}")),
            other => Some(format!("{name}={other}")),
        }
    }

    fn check_settings(&self) -> Result<()> {
        let invalid = |problem: String| Err(Error::InvalidJob(problem));
        if let Some(queue) = &self.queue
            && !is_label(queue)
        {
            return invalid(format!("queue name `{}`: {LABEL_RULE}", queue.escape_default()));
        }
        if let Some(tag) = self.tags.iter().find(|tag| !is_label(tag)) {
            return invalid(format!("tag `{}`: {LABEL_RULE}", tag.escape_default()));
        }
        if let Some(key) = &self.concurrency_key
            && (!(1..=512).contains(&key.chars().count()) || key.chars().any(char::is_control))
        {
            let rule = "give 1 to 512 characters, none of them a control character";
            return invalid(format!("concurrency key `{}`: {rule}", key.escape_default()));
        }
        if let Some(priority) = self.priority
            && priority > 9
        {
            return invalid(format!("priority `{priority}`: give 0 (first) to 9 (last)"));
        }
        match self.max_attempts {
            Some(0) => return invalid("max_attempts `0`: give at least 1".into()),
            Some(many) if many > MAX_ATTEMPTS => {
                return invalid(format!("max_attempts `{many}`: give at most {MAX_ATTEMPTS}"));
            }
            _ => {}
        }
        if let Some(many) = self.max_snoozes
            && many > MAX_ATTEMPTS
        {
            return invalid(format!("max_snoozes `{many}`: give at most {MAX_ATTEMPTS}"));
        }
        if let Schedule::In(delay) = self.schedule
            && delay > MAX_DELAY
        {
            return invalid(format!("schedule_in `{delay:?}`: give at most 10 years"));
        }
        Ok(())
    }
}

/// The most attempts, or snoozes, that a job may ask for.
pub const MAX_ATTEMPTS: u32 = 1_000;

const MAX_DELAY: Duration = Duration::from_secs(10 * 366 * 86_400);
/// What [`is_label`] asks for.
pub(crate) const LABEL_RULE: &str =
    "give 1 to 128 characters, none of them white space or control characters";

/// Whether `text` may name a queue or a tag.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=128).contains(&text.chars().count())
        && !text.chars().any(|character| character.is_whitespace() || character.is_control())
}
