//! [`Answer`]: what a scripted claude does with one request.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::played::Played;
use super::{failure, recording};
use crate::claude::{Claude, Request};
use crate::error::Result;
use crate::job::Tokens;
use crate::outcome::{Ending, FailureKind};

/// What a scripted claude does with one request: answer, fail, play a recording, hang.
///
/// [`respond`], [`structured`], [`fail`], [`hang`], [`ask`] and [`events_from`] make one. Unless said
/// otherwise a run takes no time, costs nothing, takes one turn, and runs under the session that was
/// asked for.
#[derive(Clone)]
#[must_use = "an answer does nothing until a scripted claude is given it"]
pub struct Answer {
    pub(super) does: Does,
    pub(super) details: Details,
    /// How long the run takes.
    pub(super) takes: Duration,
}

#[derive(Clone)]
pub(super) enum Does {
    /// Answers with this text.
    Respond(String),
    /// Answers with this value for the schema that was asked for.
    Structured(Value),
    /// Fails in this way.
    Fail(FailureKind),
    /// Does what another did.
    Play(Arc<Played>),
    /// Asks somebody else.
    Ask(Arc<dyn Claude>),
}

/// What is said of a run besides what it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    pub(super) cost_usd: Option<f64>,
    pub(super) turns: Option<u32>,
    pub(super) tokens: Option<Tokens>,
    pub(super) session: Option<String>,
    pub(super) model: Option<String>,
    /// What a failure says.
    pub(super) said: Option<String>,
    /// When a usage limit is lifted.
    pub(super) resets_at: Option<Timestamp>,
    /// What is printed before the end.
    pub(super) events: Vec<Value>,
    pub(super) exit: Option<i32>,
    pub(super) stderr: Option<String>,
}

/// Claude answers with this text.
///
/// A job that asked for a structured answer fails with `output_mismatch`, as it would with the real one; a
/// worker with `output` asks once more before.
pub fn respond(text: impl Into<String>) -> Answer {
    Answer::new(Does::Respond(text.into()))
}

/// Claude answers with this value: what a job with `output = Type` or a `json_schema` asks for. Nobody
/// checks it against a `json_schema` of the job's own; a worker with `output` does, and asks once more for a
/// corrected answer, which is the next of the script.
pub fn structured(answer: impl Into<Value>) -> Answer {
    Answer::new(Does::Structured(answer.into()))
}

/// Claude fails in this way: it prints and exits as the real one does, so that the run is judged and
/// classified from that, and the handler is told this kind.
///
/// A failure for a timeout comes at once; to try the job's own `timeout`, let an answer
/// [take](Answer::takes) longer.
///
/// # Panics
///
/// For the kinds that no run of claude ends with: `invalid_args`, `lost`, `shutdown`,
/// `unsupported_version`.
#[track_caller]
pub fn fail(kind: FailureKind) -> Answer {
    assert!(
        failure::can_play(kind),
        "no run of claude ends with `{}`: the queue itself says so",
        kind.name()
    );
    Answer::new(Does::Fail(kind))
}

/// Claude never answers: the job's `timeout` or `idle_timeout` ends the run.
pub fn hang() -> Answer {
    respond("").takes(Duration::MAX)
}

/// Somebody else is asked: the real CLI, or a runner of your own. What is said of time, cost and the
/// like has no effect on it.
pub fn ask(claude: impl Claude + 'static) -> Answer {
    Answer::new(Does::Ask(Arc::new(claude)))
}

/// Claude prints the events of this file again, one JSON object a line, as `claude --output-format
/// stream-json` has printed them. The session becomes that of the run.
///
/// The exit code is 1 when the last result says that it is an error, else 0; [`Answer::exit`] and
/// [`Answer::stderr`] say otherwise. A file that [`record`](super::record()) has written is
/// [replayed](super::replay) instead.
///
/// ```standalone_crate
/// # use claude_jobs::testing::{events_from, perform};
/// # use claude_jobs::prelude::*;
/// # #[claude_worker(queue = "reviews")]
/// # struct Review { number: u64 }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> claude_jobs::Result<()> {
/// let transcript = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/transcripts/success.jsonl");
/// let done = perform(Review::new(87, "Review it."), events_from(transcript)?).await?;
/// assert_eq!(done.run.text(), "Done.");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`Error::Recording`](crate::Error::Recording) when the file cannot be read, or a line is no JSON object.
pub fn events_from(path: impl AsRef<Path>) -> Result<Answer> {
    Ok(Answer::new(Does::Play(Arc::new(recording::transcript(path.as_ref())?))))
}

impl Answer {
    pub(super) fn new(does: Does) -> Self {
        Self { does, details: Details::default(), takes: Duration::ZERO }
    }

    /// The run costs this many US dollars. Default: 0, and as recorded in a recording. Where the real
    /// claude says no cost (it was killed, or refused to start), none is said.
    pub fn cost(mut self, usd: f64) -> Self {
        self.details.cost_usd = Some(usd);
        self
    }

    /// The agent takes this many turns. Default: 1.
    pub fn turns(mut self, turns: u32) -> Self {
        self.details.turns = Some(turns);
        self
    }

    /// The run uses so many input and output tokens. Default: none.
    pub fn tokens(mut self, input: u64, output: u64) -> Self {
        self.details.tokens = Some(Tokens { input, output, ..Tokens::default() });
        self
    }

    /// The run says that this was its session. Default: the one that was asked for.
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.details.session = Some(id.into());
        self
    }

    /// This model answers. Default: the one that was asked for, else `scripted`.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.details.model = Some(name.into());
        self
    }

    /// The run takes this long. Where the test's clock is moved by hand, it moves by that: nobody waits.
    /// A run that takes longer than the job's `timeout` or `idle_timeout` is stopped then.
    pub fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    /// What a failure says, for its message. Where the CLI's own words decide what kind it is, these come
    /// after them.
    pub fn saying(mut self, text: impl Into<String>) -> Self {
        self.details.said = Some(text.into());
        self
    }

    /// When a [usage limit](FailureKind::UsageLimit) is lifted. Default: an hour after the failure.
    pub fn resets_at(mut self, moment: Timestamp) -> Self {
        self.details.resets_at = Some(moment);
        self
    }

    /// Claude prints this event, too, before the result: a tool call, a progress report. Events are
    /// printed in the order in which they are given.
    pub fn event(mut self, event: Value) -> Self {
        self.details.events.push(event);
        self
    }

    /// The process exits with this code.
    pub fn exit(mut self, code: i32) -> Self {
        self.details.exit = Some(code);
        self
    }

    /// The process writes this to standard error.
    pub fn stderr(mut self, text: impl Into<String>) -> Self {
        self.details.stderr = Some(text.into());
        self
    }

    /// What is seen of the run when this is the answer to the request.
    pub(super) fn played(&self, request: &Request, now: Timestamp) -> Played {
        let details = &self.details;
        let said = |text: &str| vec![json!({"type": "text", "text": text})];
        let mut played = match &self.does {
            Does::Respond(text) => {
                let result = json!({"result": text});
                Played::finished(Some(said(text)), result)
            }
            Does::Structured(value) => {
                let text = value.to_string();
                let call =
                    json!({"type": "tool_use", "id": "toolu_1", "name": "StructuredOutput", "input": value});
                Played::finished(Some(vec![call]), json!({"result": text, "structured_output": value}))
            }
            Does::Fail(kind) => failure::played(*kind, details, now),
            Does::Play(played) => (**played).clone(),
            // Whoever is asked shows what there is to see.
            Does::Ask(_) => Played::silent(Ending::Exited(0)),
        };
        played.adjust(details, request, matches!(self.does, Does::Play(_)));
        played
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Answer");
        match &self.does {
            Does::Respond(text) => shown.field("respond", text),
            Does::Structured(value) => shown.field("structured", value),
            Does::Fail(kind) => shown.field("fail", kind),
            Does::Play(played) => shown.field("events", &played.events.len()),
            Does::Ask(_) => shown.field("ask", &".."),
        };
        shown.field("details", &self.details).field("takes", &self.takes).finish()
    }
}
