//! [`Expected`]: what a job is to be like. [`assert_enqueued!`](crate::assert_enqueued) and
//! [`refute_enqueued!`](crate::refute_enqueued) make one and look for it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::perform::Performed;
use super::shown;
use crate::clock::{between, later};
use crate::error::Result;
use crate::job::{Job, State};
use crate::queue::Queue;
use crate::worker::Worker;

/// By how much times may differ that are said to be the same.
const CLOSE: Duration = Duration::from_secs(1);

/// A job of the worker `W`, with these properties. A property that is not named may be anything.
///
/// The macros take each method as `name = value`.
#[must_use = "it is to be looked for"]
pub struct Expected<W> {
    /// The properties and, for each, what is wrong with a job that has it not.
    properties: Vec<Property>,
    /// In which states; empty for those that wait.
    states: Vec<State>,
    count: Option<usize>,
    worker: PhantomData<fn() -> W>,
}

struct Property {
    /// As the test wrote it.
    said: String,
    is_field: bool,
    check: Box<Check>,
}

/// What differs, if it does.
type Check = dyn Fn(&Job, Timestamp) -> Option<String> + Send + Sync;

impl<W: Worker> Default for Expected<W> {
    fn default() -> Self {
        Self { properties: Vec::new(), states: Vec::new(), count: None, worker: PhantomData }
    }
}

impl<W: Worker> Expected<W> {
    /// Any job of this worker that waits: it is `available`, `scheduled` or `retryable`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The field has this value: both look the same as JSON. The macros write this as
    /// `Worker { name: value }`.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON.
    #[track_caller]
    pub fn field(self, name: &'static str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a field's value can be written as JSON");
        let said = format!("{name}: {}", shown::json(&value));
        let check = move |job: &Job, _| {
            let found = job.input.get(name).unwrap_or(&Value::Null);
            (!is_same(found, &value))
                .then(|| format!("{name}: {}, not {}", shown::json(found), shown::json(&value)))
        };
        self.with(Property { said, is_field: true, check: Box::new(check) })
    }

    /// This is true of the fields.
    pub fn matching(self, condition: impl Fn(&W) -> bool + Send + Sync + 'static) -> Self {
        self.property("matching = …".to_owned(), move |job, _| match super::read_fields::<W>(job) {
            Ok(worker) => (!condition(&worker)).then(|| "it does not match".to_owned()),
            Err(error) => Some(format!("its fields cannot be read ({error})")),
        })
    }

    /// It is in this queue.
    pub fn queue(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.property(format!("queue = {name:?}"), move |job, _| differ("queue", &job.queue, &name))
    }

    /// It has this label, its own or the worker's. May be asked for several times.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        self.property(format!("tag = {tag:?}"), move |job, _| {
            (!job.tags.contains(&tag)).then(|| format!("tags: {:?}, without {tag:?}", job.tags))
        })
    }

    /// It has this priority.
    pub fn priority(self, priority: u8) -> Self {
        self.property(format!("priority = {priority}"), move |job, _| {
            differ("priority", &job.priority, &priority)
        })
    }

    /// It is limited together with others by this key.
    pub fn concurrency_key(self, key: impl Into<String>) -> Self {
        let key = Some(key.into());
        self.property(format!("concurrency_key = {key:?}"), move |job, _| {
            differ("concurrency_key", &job.concurrency_key, &key)
        })
    }

    /// It may use this many attempts.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.property(format!("max_attempts = {attempts}"), move |job, _| {
            differ("max_attempts", &job.max_attempts, &attempts)
        })
    }

    /// Its own prompt is this. For a prompt that comes from the worker's template, look at what claude
    /// was asked.
    pub fn prompt(self, prompt: impl Into<String>) -> Self {
        let prompt = Value::from(prompt.into());
        self.property(format!("prompt = {prompt}"), move |job, _| {
            let found = job.args.get("prompt").unwrap_or(&Value::Null);
            (*found != prompt)
                .then(|| format!("prompt: {}, not {}", shown::json(found), shown::json(&prompt)))
        })
    }

    /// Its own options have at least these values: `args = json!({"model": "opus"})`.
    pub fn args(self, args: Value) -> Self {
        self.property(format!("args = {args}"), move |job, _| {
            let own = job.args.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
            lacks("args", &Value::Object(own), &args)
        })
    }

    /// Its notes have at least these values.
    pub fn meta(self, meta: Value) -> Self {
        self.property(format!("meta = {meta}"), move |job, _| {
            lacks("meta", &Value::Object(job.meta.clone()), &meta)
        })
    }

    /// It is to run at this moment, give or take a second.
    pub fn scheduled_at(self, moment: Timestamp) -> Self {
        self.property(format!("scheduled_at = {moment}"), move |job, _| {
            let off = between(job.scheduled_at, moment).max(between(moment, job.scheduled_at));
            (off > CLOSE).then(|| format!("scheduled_at: {}, not {moment}", job.scheduled_at))
        })
    }

    /// It is to run this long from now, give or take a second.
    pub fn scheduled_in(self, delay: Duration) -> Self {
        self.property(format!("scheduled_in = {delay:?}"), move |job, now| {
            let moment = later(now, delay);
            let off = between(job.scheduled_at, moment).max(between(moment, job.scheduled_at));
            let found = between(now, job.scheduled_at);
            (off > CLOSE).then(|| format!("scheduled_in: {found:?}, not {delay:?}"))
        })
    }

    /// It is in this state, in place of one in which it waits. Several may be given.
    pub fn state(mut self, state: State) -> Self {
        self.states.push(state);
        self
    }

    /// There are exactly so many of them. Default: at least one.
    pub fn count(mut self, jobs: usize) -> Self {
        self.count = Some(jobs);
        self
    }

    /// Looks for it.
    ///
    /// # Errors
    ///
    /// What is there instead, to be printed.
    pub fn find(&self, jobs: &Jobs) -> Result<Vec<Job>, String> {
        let found = self.like_it(jobs);
        let wanted = self.count.map_or(!found.is_empty(), |count| found.len() == count);
        if wanted {
            return Ok(found.into_iter().cloned().collect());
        }
        let wanted = match (self.count, found.len()) {
            (None | Some(1), 0) => "no job is enqueued like".to_owned(),
            (None, some) => format!("{some} jobs are enqueued like"),
            (Some(count), 0) => format!("none of {count} jobs is enqueued like"),
            (Some(count), some) => format!("{some} and not {count} jobs are enqueued like"),
        };
        Err(format!("{wanted}\n    {self}\n{}", self.instead(jobs)))
    }

    /// Sees to it that there is none like it.
    ///
    /// # Errors
    ///
    /// What is there, to be printed.
    pub fn miss(&self, jobs: &Jobs) -> Result<(), String> {
        let found = self.like_it(jobs);
        if found.is_empty() || self.count.is_some_and(|count| found.len() != count) {
            return Ok(());
        }
        let what = if found.len() == 1 { "a job is" } else { "jobs are" };
        let lines = shown::lines(found.iter().map(|job| shown::line(job, jobs.now)));
        Err(format!("{what} enqueued like\n    {self}\nnamely\n{lines}"))
    }

    fn property(
        self,
        said: String,
        check: impl Fn(&Job, Timestamp) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.with(Property { said, is_field: false, check: Box::new(check) })
    }

    fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    fn like_it<'jobs>(&self, jobs: &'jobs Jobs) -> Vec<&'jobs Job> {
        jobs.jobs
            .iter()
            .filter(|job| self.is_of_worker(job) && self.differences(job, jobs.now).is_empty())
            .collect()
    }

    fn is_of_worker(&self, job: &Job) -> bool {
        job.worker == W::registration().definition.name
    }

    fn differences(&self, job: &Job, now: Timestamp) -> Vec<String> {
        let in_state =
            if self.states.is_empty() { is_waiting(job.state) } else { self.states.contains(&job.state) };
        let state = (!in_state).then(|| match &self.states[..] {
            [] => format!("{}: it does not wait", job.state),
            [state] => format!("state: {}, not {state}", job.state),
            _ => format!("state: {}", job.state),
        });
        let others = self.properties.iter().filter_map(|property| (property.check)(job, now));
        state.into_iter().chain(others).collect()
    }

    /// What is there, the jobs of this worker first.
    fn instead(&self, jobs: &Jobs) -> String {
        if jobs.jobs.is_empty() {
            return "there is no job at all".to_owned();
        }
        let (ours, others): (Vec<_>, Vec<_>) = jobs.jobs.iter().partition(|job| self.is_of_worker(job));
        let ours = ours.into_iter().map(|job| {
            let line = shown::line(job, jobs.now);
            match &self.differences(job, jobs.now)[..] {
                [] => line,
                differences => format!("{line}\n        {}", differences.join("\n        ")),
            }
        });
        let others =
            others.into_iter().filter(|job| is_waiting(job.state)).map(|job| shown::line(job, jobs.now));
        let lines = shown::lines(ours.chain(others));
        if lines.is_empty() { "there is no job that waits".to_owned() } else { format!("there is\n{lines}") }
    }
}

/// As the test wrote it.
impl<W: Worker> fmt::Display for Expected<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(W::registration().definition.name)?;
        let said = |is_field: bool| {
            let properties = self.properties.iter().filter(move |property| property.is_field == is_field);
            properties.map(|property| property.said.clone())
        };
        let fields: Vec<_> = said(true).collect();
        if !fields.is_empty() {
            write!(formatter, " {{ {} }}", fields.join(", "))?;
        }
        let states = self.states.iter().map(|state| format!("state = {state}"));
        let count = self.count.map(|count| format!("count = {count}"));
        for said in said(false).chain(states).chain(count) {
            write!(formatter, ", {said}")?;
        }
        Ok(())
    }
}

impl<W: Worker> fmt::Debug for Expected<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Expected({self})")
    }
}

/// Jobs that are looked through, oldest first, and the time at which that is.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub(super) jobs: Vec<Job>,
    pub(super) now: Timestamp,
}

/// Where jobs are looked for: a [`Queue`], or the follow-on jobs of a [`Performed`] one.
pub trait HoldsJobs {
    /// Its jobs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`](crate::Error::Database).
    fn held_jobs(&self) -> impl Future<Output = Result<Jobs>> + Send;
}

impl HoldsJobs for Queue {
    async fn held_jobs(&self) -> Result<Jobs> {
        let mut jobs = super::jobs(self, None).await?;
        jobs.sort_by_key(|job| job.id);
        Ok(Jobs { jobs, now: self.now() })
    }
}

impl HoldsJobs for Performed {
    async fn held_jobs(&self) -> Result<Jobs> {
        Ok(Jobs { jobs: self.follow_ons.clone(), now: self.now })
    }
}

fn is_waiting(state: State) -> bool {
    matches!(state, State::Available | State::Scheduled | State::Retryable)
}

/// Numbers are the same whatever type they were written from.
fn is_same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => found == wanted || found.as_f64() == wanted.as_f64(),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| is_same(found, wanted))
        }
        (Value::Object(found), Value::Object(wanted)) => {
            found.len() == wanted.len()
                && wanted
                    .iter()
                    .all(|(name, wanted)| found.get(name).is_some_and(|found| is_same(found, wanted)))
        }
        _ => found == wanted,
    }
}

fn differ<T: PartialEq + fmt::Debug>(name: &str, found: &T, wanted: &T) -> Option<String> {
    (found != wanted).then(|| format!("{name}: {found:?}, not {wanted:?}"))
}

/// What the object has not of what is wanted.
fn lacks(name: &str, found: &Value, wanted: &Value) -> Option<String> {
    let Some(fields) = wanted.as_object() else {
        return Some(format!("{name}: give a JSON object to compare with, not {wanted}"));
    };
    let differing: Vec<_> = fields
        .iter()
        .map(|(field, wanted)| (field, found.get(field).unwrap_or(&Value::Null), wanted))
        .filter(|(_, found, wanted)| !is_same(found, wanted))
        .map(|(field, found, wanted)| {
            format!("{name}.{field}: {}, not {}", shown::json(found), shown::json(wanted))
        })
        .collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}
