//! [`Definition`]: what the attribute of a worker says, as a constant.

use serde::Serialize;
use serde_json::Value;

use crate::app_state::StateType;
use crate::classify::{self, Classifier};
use crate::options::Settings;
use crate::outcome::Run;
use crate::output::{Mismatch, OutputType};
use crate::schedule::WorkerCron;
use crate::settlement::{self, Backoff};
use crate::unique::UniqueDefault;

/// What the attribute of a worker says.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// The stable name that rows carry.
    pub name: &'static str,
    /// The queue of its jobs.
    pub queue: &'static str,
    /// How many counted attempts a job may use.
    pub max_attempts: u32,
    /// How many snoozes a job may use before a snooze counts as a retry.
    pub max_snoozes: u32,
    /// 0 (first) to 9 (last).
    pub priority: u8,
    /// What must not occur twice.
    pub unique: Option<UniqueDefault>,
    /// Labels of its jobs.
    pub tags: &'static [&'static str],
    /// Options under the job's own.
    pub args: Settings,
    /// Options over the job's own.
    pub pinned_args: Settings,
    /// What claude's answers are; none for text.
    pub output: Option<OutputType>,
    /// What its handler takes from the runtime.
    pub state: Option<StateType>,
    /// Proposes a verdict for each run.
    pub classifier: Classifier,
    /// How long to wait before a retry.
    pub backoff: Backoff,
    /// When runtimes insert a job of it by themselves.
    pub cron: Option<WorkerCron>,
    /// What becomes of a job whose attempt was interrupted after it had begun.
    pub on_lost: OnLost,
    /// Where a retry goes on after a transient failure of a run that had begun.
    pub retry_from: RetryFrom,
    /// How many interrupted attempts are continued without counting.
    pub max_interruptions: u32,
    /// How many times the handler may fail on one answer before the job is discarded.
    pub max_handler_attempts: u32,
    /// The field or option whose value jobs must share to be limited together.
    pub concurrency_key: Option<&'static str>,
    /// Its fields, in order; none for a unit struct.
    pub fields: &'static [&'static str],
    /// The types of its fields, as they are written.
    pub field_types: &'static [&'static str],
    /// Its fields that come from outside.
    pub untrusted_fields: &'static [&'static str],
    /// The values that its templates name, in the order in which [`Worker::show_values`] shows them.
    ///
    /// [`Worker::show_values`]: crate::worker::Worker::show_values
    pub placeholders: &'static [Placeholder],
    /// Whether runs that can write may see values that are not to be trusted.
    pub allow_untrusted_writes: bool,
    /// Whether its runs end before they are paid for when an MCP server is missing.
    pub require_mcp: bool,
    /// `file:line` of the struct.
    pub defined_at: &'static str,
}

/// A value that goes into a worker's texts: a field, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// As the template names it, such as `number` or `issue.title`.
    pub name: &'static str,
    /// Whether it comes from outside and goes into a fence.
    pub is_untrusted: bool,
    /// Whether no template names it: it goes to the end of the prompt.
    pub is_appended: bool,
}

/// What becomes of a job whose attempt was interrupted after claude had begun: its node shut down and the grace was over,
/// lost its lease, or died.
///
/// An attempt that had not begun is given back uncounted, whatever this says; one that had answered is settled by its
/// answer. For a dead node it is carried out by a node that knows the worker; the jobs of other workers wait for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnLost {
    /// It goes on at once in the session of the interrupted attempt, which does not count: at most `max_interruptions`
    /// times, then it counts. It is claimed where the session's transcript is; when no node has served there for
    /// ten minutes ([`RuntimeBuilder::continue_within`](crate::runtime::RuntimeBuilder::continue_within)), the interrupted
    /// attempt counts after all, and the job starts anew if an attempt is left, else it is `discarded`. Where there is
    /// no session to continue, as `Retry`.
    #[default]
    Resume,
    /// It runs again from its start, at once. The interrupted attempt counts.
    Retry,
    /// It becomes `discarded`, with a reason that begins with `lost:` or `interrupted:`, until somebody has looked at what
    /// the run had done and retries or deletes it.
    Hold,
    /// It becomes `cancelled`.
    Cancel,
}

impl OnLost {
    /// Its name in the attribute and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Resume => "resume",
            Self::Hold => "hold",
            Self::Cancel => "cancel",
        }
    }
}

/// Where a retry goes on after a transient failure (server, overload, connection, rate, time, a CLI that was killed) of
/// a run that had begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RetryFrom {
    /// In the run's session: what it has done and paid for is not done and paid for again.
    #[default]
    Session,
    /// At the start, with the job's own prompt.
    Start,
}

impl RetryFrom {
    /// Its name in the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Start => "start",
        }
    }
}

impl Definition {
    /// What is wrong with the answer of a successful run. Any answer is text, so that only a worker with an
    /// output of its own has to look.
    pub(crate) fn mismatch(&self, run: &Run) -> Option<Mismatch> {
        self.output.and_then(|output| (output.mismatch)(run))
    }

    /// What is wrong with a row's input: serde's message, unless it may quote the input.
    pub(crate) fn input_problem(&self, input: &Value, error: &serde_json::Error) -> String {
        let text = error.to_string();
        if text.starts_with("missing field") {
            return text;
        }
        if !input.is_object() {
            return "the input is not a JSON object".to_owned();
        }
        format!("a field has the wrong type (the fields are `{}`)", self.fields.join("`, `"))
    }

    /// The defaults, for a worker of this name and queue.
    pub const fn new(name: &'static str, queue: &'static str) -> Self {
        Self {
            name,
            queue,
            max_attempts: 3,
            max_snoozes: 3,
            priority: 0,
            unique: None,
            tags: &[],
            args: Settings(&[]),
            pinned_args: Settings(&[]),
            output: None,
            state: None,
            classifier: classify::default,
            backoff: settlement::backoff,
            cron: None,
            on_lost: OnLost::Resume,
            retry_from: RetryFrom::Session,
            max_interruptions: 5,
            max_handler_attempts: 5,
            concurrency_key: None,
            fields: &[],
            field_types: &[],
            untrusted_fields: &[],
            placeholders: &[],
            allow_untrusted_writes: false,
            require_mcp: false,
            defined_at: "",
        }
    }
}
