//! [`Description`]: a worker's definition as data, for people and tools that read a fleet's definitions
//! without its code.

use serde::Serialize;
use serde_json::Value;

use crate::definition::{Definition, OnLost, RetryFrom};
use crate::options::ArgMap;
use crate::schedule::{IfBusy, Missed};
use crate::unique::{Unique, UniqueField};

/// A worker's definition as data. It serializes to JSON as `claude-jobs workers show --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The stable name that rows carry.
    pub name: &'static str,
    /// The queue of its jobs.
    pub queue: &'static str,
    /// `file:line` of the struct.
    pub defined_at: &'static str,
    /// The job's typed input, in the order of `new`.
    pub fields: Vec<FieldDescription>,
    /// How many counted attempts a job may use.
    pub max_attempts: u32,
    /// How many snoozes a job may use before a snooze counts as a retry.
    pub max_snoozes: u32,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// Labels of its jobs.
    pub tags: &'static [&'static str],
    /// What must not occur twice.
    pub unique: Option<UniqueDescription>,
    /// What claude's answers are; none for text.
    pub output: Option<OutputDescription>,
    /// The type of the application's state that its handler takes from the runtime, as it is written.
    pub state: Option<&'static str>,
    /// The field or option whose value jobs must share to be limited together.
    pub concurrency_key: Option<&'static str>,
    /// When runtimes insert a job of it by themselves.
    pub cron: Option<CronDescription>,
    /// What becomes of a job whose attempt was interrupted after it had begun.
    pub on_lost: OnLost,
    /// How many interrupted attempts are continued without counting.
    pub max_interruptions: u32,
    /// Where a retry goes on after a transient failure of a run that had begun.
    pub retry_from: RetryFrom,
    /// How many times the handler may fail on one answer before the job is discarded.
    pub max_handler_attempts: u32,
    /// Whether runs that can write may read untrusted fields.
    pub allow_untrusted_writes: bool,
    /// Whether its runs end before they are paid for when an MCP server is missing.
    pub require_mcp: bool,
    /// Options under the job's own, with the prompt; templates as they are written.
    pub args: ArgMap,
    /// Options over the job's own; templates as they are written.
    pub pinned_args: ArgMap,
}

/// One field of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldDescription {
    /// Its name.
    pub name: &'static str,
    /// Its type, as it is written.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// Whether it comes from outside and stands in a fence.
    pub untrusted: bool,
}

/// What a worker's answers are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OutputDescription {
    /// The type, as it is written.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// Its JSON Schema as claude gets it; none where it cannot be sent, and then no runtime starts.
    pub json_schema: Option<Value>,
}

/// A worker's uniqueness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UniqueDescription {
    /// For how many seconds after its insertion a job keeps others like it out.
    pub period_seconds: u64,
    /// What must be the same: `worker`, `queue`, `args`, or the name of a field or option.
    pub by: Vec<String>,
    /// In which states the first job counts.
    pub states: Vec<&'static str>,
}

/// A worker's schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CronDescription {
    /// The cron expression.
    pub expression: &'static str,
    /// The IANA name of its time zone.
    pub time_zone: &'static str,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// What becomes of a tick while an earlier one's job is not over.
    pub if_busy: IfBusy,
}

impl From<&Definition> for Description {
    fn from(definition: &Definition) -> Self {
        Self {
            name: definition.name,
            queue: definition.queue,
            defined_at: definition.defined_at,
            fields: fields(definition),
            max_attempts: definition.max_attempts,
            max_snoozes: definition.max_snoozes,
            priority: definition.priority,
            tags: definition.tags,
            unique: definition.unique.map(|unique| UniqueDescription {
                period_seconds: unique.period,
                by: Unique::from(unique).by.iter().map(name_of).collect(),
                states: Unique::from(unique).states.iter().map(|state| state.name()).collect(),
            }),
            output: definition.output.map(|output| OutputDescription {
                type_name: output.name,
                json_schema: (output.schema)().ok().and_then(|schema| schema.text().parse().ok()),
            }),
            state: definition.state.map(|state| state.name),
            concurrency_key: definition.concurrency_key,
            cron: definition.cron.map(|cron| CronDescription {
                expression: cron.expression,
                time_zone: cron.time_zone,
                missed: cron.missed,
                if_busy: cron.if_busy,
            }),
            on_lost: definition.on_lost,
            max_interruptions: definition.max_interruptions,
            retry_from: definition.retry_from,
            max_handler_attempts: definition.max_handler_attempts,
            allow_untrusted_writes: definition.allow_untrusted_writes,
            require_mcp: definition.require_mcp,
            args: definition.args.into(),
            pinned_args: definition.pinned_args.into(),
        }
    }
}

fn fields(definition: &Definition) -> Vec<FieldDescription> {
    let is_untrusted = |name: &str| definition.untrusted_fields.contains(&name);
    let types = definition.field_types.iter().copied().chain(std::iter::repeat(""));
    let fields = definition.fields.iter().zip(types);
    fields
        .map(|(name, type_name)| FieldDescription { name, type_name, untrusted: is_untrusted(name) })
        .collect()
}

fn name_of(field: &UniqueField) -> String {
    match field {
        UniqueField::Worker => "worker",
        UniqueField::Queue => "queue",
        UniqueField::Args => "args",
        UniqueField::Key(name) => name,
    }
    .to_owned()
}
