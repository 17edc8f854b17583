//! [`Liveness`]: whether a run is alive, by what its CLI prints.
//!
//! | limit | measures |
//! |---|---|
//! | `idle_timeout` | silence while the CLI is expected to say something: no tool is under way, no background task, and no answer is being written; before the first event at least [`START`] |
//! | `tool_timeout` | one tool call, from the event that names it to its answer |
//! | [`STALLED`] | silence in the middle of an answer: the CLI itself gives such a connection up long before |
//! | [`LINGER`] | a CLI that has done its work, and does not end |

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::outcome::{Report, StopReason};

/// How long a CLI may at least take to start, with the hooks and servers of its project, on a machine that is busy.
const START: Duration = Duration::from_secs(30);

/// How long a CLI may stay that has done its work, and says nothing more: its hooks may take a while, but one that hangs
/// is not to keep its slot for ever.
pub(super) const LINGER: Duration = Duration::from_secs(300);

/// How long nothing may come of an answer that is being written, beyond `idle_timeout`.
const STALLED: Duration = Duration::from_secs(600);

/// The limits of a run that are told by its stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) idle: Option<Duration>,
    pub(super) tool: Option<Duration>,
}

impl Limits {
    /// Whether parts of messages have to be printed to keep them.
    pub(super) fn need_parts(self) -> bool {
        self.idle.is_some() || self.tool.is_some()
    }
}

/// What is known of a run's life.
pub(super) struct Liveness {
    limits: Limits,
    seen: RefCell<Seen>,
    changed: Notify,
}

struct Seen {
    /// When something was printed last.
    heard: Instant,
    pace: Pace,
    /// The tool calls under way, by id, with the tool's name and the start.
    calls: HashMap<String, (String, Instant)>,
}

/// What silence means.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// Nothing has come yet: the CLI starts, and the hooks and servers of the project with it.
    Starting,
    /// The CLI ought to say something.
    Expected,
    /// A tool or a background task is under way: it may be silent for as long as it takes.
    Working,
    /// An answer is being written.
    Writing,
    /// All is done.
    Done,
}

impl Liveness {
    pub(super) fn new(limits: Limits) -> Self {
        let seen = Seen { heard: Instant::now(), pace: Pace::Starting, calls: HashMap::new() };
        Self { limits, seen: RefCell::new(seen), changed: Notify::new() }
    }

    /// An event has come, and this is what is known since.
    pub(super) fn heard(&self, report: &Report) {
        let pace = match report {
            report if report.is_done() => Pace::Done,
            report if !report.under_way.is_empty() || report.background_tasks > 0 => Pace::Working,
            report if report.is_writing => Pace::Writing,
            _ => Pace::Expected,
        };
        let mut seen = self.seen.borrow_mut();
        let now = Instant::now();
        seen.heard = now;
        let calls = seen.calls.len();
        seen.calls.retain(|id, _| report.under_way.iter().any(|call| call.id == *id));
        for call in &report.under_way {
            seen.calls.entry(call.id.clone()).or_insert_with(|| (call.name.clone(), now));
        }
        if std::mem::replace(&mut seen.pace, pace) != pace || seen.calls.len() != calls {
            self.changed.notify_one();
        }
    }

    /// The tool that has been under way for the longest time.
    pub(super) fn oldest_tool(&self) -> Option<String> {
        let seen = self.seen.borrow();
        seen.calls.values().min_by_key(|(_, since)| *since).map(|(name, _)| name.clone())
    }

    /// Resolves with the limit that the run has passed.
    pub(super) async fn is_over(&self) -> StopReason {
        loop {
            let Some((deadline, reason)) = self.next_deadline() else {
                self.changed.notified().await;
                continue;
            };
            if deadline <= Instant::now() {
                return reason;
            }
            tokio::select! {
                () = sleep_until(deadline) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn next_deadline(&self) -> Option<(Instant, StopReason)> {
        let seen = self.seen.borrow();
        let Limits { idle, tool } = self.limits;
        let silence = match seen.pace {
            Pace::Starting => idle.map(|idle| idle.max(START)),
            Pace::Expected => idle,
            Pace::Working => None,
            Pace::Writing => idle.map(|idle| idle + STALLED),
            Pace::Done => Some(idle.map_or(LINGER, |idle| idle.min(LINGER))),
        };
        let silence = silence.map(|most| (seen.heard + most, StopReason::IdleTimeout));
        let oldest = seen.calls.values().map(|(_, since)| *since).min();
        let overdue = tool.zip(oldest).map(|(most, since)| (since + most, StopReason::ToolTimeout));
        [silence, overdue].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    /// What ends a run that has printed these events, and after how many seconds of silence.
    async fn ended(limits: Limits, events: &[Value]) -> Option<(StopReason, u64)> {
        let (liveness, start) = (Liveness::new(limits), Instant::now());
        let mut report = Report::new(None);
        for event in events {
            report.observe(event);
            liveness.heard(&report);
        }
        tokio::select! {
            reason = liveness.is_over() => Some((reason, start.elapsed().as_secs())),
            () = tokio::time::sleep(Duration::from_secs(86_400)) => None,
        }
    }

    fn part(kind: &str) -> Value {
        json!({"type": "stream_event", "event": {"type": kind}, "parent_tool_use_id": null})
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_only_where_something_is_expected() {
        let call = json!({"type": "assistant", "message": {"content": [
            {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]}});
        let answer = json!({"type": "user", "message": {"content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}});
        let text = json!({"type": "assistant", "message": {"content": [{"type": "text", "text": "hi"}]}});
        let result = json!({"type": "result", "subtype": "success", "result": "done"});
        let tasks =
            |tasks: Value| json!({"type": "system", "subtype": "background_tasks_changed", "tasks": tasks});
        let (none, idle) = (Limits::default(), Limits { idle: secs(60), tool: None });
        let both = Limits { idle: secs(60), tool: secs(90) };
        let (silent, overdue) = (StopReason::IdleTimeout, StopReason::ToolTimeout);
        let call = || call.clone();
        for (limits, events, expected) in [
            (none, vec![], None),
            (none, vec![call()], None),
            (none, vec![result.clone()], Some((silent, 300))),
            (idle, vec![], Some((silent, 60))),
            (idle, vec![text.clone()], Some((silent, 60))),
            (idle, vec![call()], None),
            (idle, vec![call(), answer.clone()], Some((silent, 60))),
            // Claude is asked again: the tools have ended, although nothing said so.
            (idle, vec![call(), part("message_start"), part("message_stop")], Some((silent, 60))),
            (idle, vec![part("message_start"), part("content_block_delta")], Some((silent, 660))),
            (idle, vec![part("message_start"), part("message_stop")], Some((silent, 60))),
            (idle, vec![tasks(json!([{}]))], None),
            (idle, vec![tasks(json!([{}])), tasks(json!([]))], Some((silent, 60))),
            (idle, vec![call(), result], Some((silent, 60))),
            (both, vec![call()], Some((overdue, 90))),
            (both, vec![call(), answer], Some((silent, 60))),
        ] {
            assert_eq!(ended(limits, &events).await, expected, "{limits:?} {events:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_event_begins_the_silence_anew() {
        let liveness = Liveness::new(Limits { idle: secs(60), tool: None });
        let start = Instant::now();
        let talk = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                liveness.heard(&Report::new(None));
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = talk => unreachable!("it never resolves"),
            reason = liveness.is_over() => assert_eq!(reason, StopReason::IdleTimeout),
        }
        assert_eq!(start.elapsed().as_secs(), 310);
    }
}
