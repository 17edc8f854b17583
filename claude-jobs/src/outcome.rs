//! What a claude run came to: [`Run`], its [`Outcome`] and [`Failure`].
//!
//! The runner makes a [`Report`] (what was seen), [`judge`] turns it into a [`Run`] (what it came
//! to). Both are values and a pure function: no process, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::Tokens;

mod failure;
mod judge;
mod report;
mod reset;
mod stderr;

pub use failure::{Failure, FailureKind, Fault};
pub use judge::judge;
pub(crate) use judge::{Asked, judge_asked, refusal};
pub(crate) use report::missing_servers;
pub use report::{Ending, NotStarted, Report, StopReason, ToolCall};

/// One finished run of claude.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// What it came to.
    pub outcome: Outcome,
    /// The session it ran under.
    pub session_id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The CLI's version.
    pub cli_version: Option<String>,
    /// The answer's text.
    pub text: Option<String>,
    /// The structured answer, when a schema was asked for and satisfied.
    pub structured: Option<Value>,
    /// What this run cost in US dollars, without what a resumed session had cost before. `None`
    /// when unknown (a killed run), never zero for unknown.
    pub cost_usd: Option<f64>,
    /// Turns of the agent.
    pub turns: Option<u32>,
    /// Tokens, over all models.
    pub tokens: Option<Tokens>,
    /// Tool uses that were denied, by tool name.
    pub denials: Vec<String>,
    /// Whether its session was to be kept, so that it can be continued.
    #[serde(default)]
    pub(crate) keeps_session: bool,
    /// Where its session is, as the runner says.
    #[serde(default)]
    pub(crate) session_host: Option<String>,
    /// How the process ended.
    pub ending: Ending,
    /// The last events, each in a few words.
    pub last_events: Vec<String>,
    /// The variables for unattended runs that were in effect.
    pub environment: BTreeMap<String, String>,
    /// Whether claude was started: the start event came, or what follows it. The first request to the API is made
    /// after it.
    #[serde(default)]
    pub started: bool,
    /// Whether claude worked: it said something or used a tool. What it has done may have effects.
    #[serde(default)]
    pub worked: bool,
    /// What the run lacked from its start, such as an MCP server that has failed; a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What was done about an answer that was not of the worker's `output`. Cost, turns, tokens and events
    /// are those of the run and its repair together.
    pub repair: Option<Repair>,
}

/// What was done about an answer that was not what its worker declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Repair {
    /// The session was resumed once and claude asked for a corrected answer.
    Made,
    /// Nothing, and why.
    NotMade(String),
}

/// Success or failure, as far as claude is concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An answer came, and it is what was asked for.
    Success,
    /// Anything else.
    Failure(Failure),
}

impl Run {
    /// The failure, if it failed.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Success => None,
            Outcome::Failure(failure) => Some(failure),
        }
    }

    /// The answer's text; empty when there is none.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// The structured answer.
    pub fn structured(&self) -> Option<&Value> {
        self.structured.as_ref()
    }

    /// What the run lacked from its start, such as an MCP server that has failed; a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the run came to.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The outcome's name: `success`, or the failure's kind.
    pub fn outcome_name(&self) -> &'static str {
        self.failure().map_or("success", |failure| failure.kind.name())
    }

    /// How the process ended, and whether there was a repair before: for the ledger.
    pub(crate) fn ending_text(&self) -> String {
        match &self.repair {
            None => self.ending.to_string(),
            Some(Repair::Made) => format!("{}, after a repair", self.ending),
            Some(Repair::NotMade(why)) => format!("{}, no repair: {why}", self.ending),
        }
    }
}
