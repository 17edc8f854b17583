//! Reasons without what claude, the API or a handler has said.

use super::{ON_REQUEST, Settlement};
use crate::outcome::{FailureKind, Fault};

/// What stands where the words of claude or of a handler stood.
const REDACTED: &str = "redacted";

/// How our own reasons begin that name no kind of failure.
const HEADS: &[&str] = &[
    "given back",
    "interrupted",
    "lost",
    "handler",
    "internal error",
    "settlement refused",
    "follow-on job refused",
];

/// A reason without contents: all of it if the words are ours, else its kind. None if it has none: claude, the API or a
/// handler may have said anything.
pub(crate) fn without_contents(reason: &str) -> Option<&str> {
    use FailureKind as Kind;
    let (head, words) = reason.split_once(": ").unwrap_or((reason, ""));
    let kind = Kind::ALL.iter().find(|kind| kind.name() == head);
    let is_ours = match kind {
        Some(Kind::WorkingDirMissing | Kind::InvalidArgs | Kind::Killed | Kind::Shutdown | Kind::Lost) => {
            true
        }
        Some(kind) => kind.is_timeout() || kind.fault() == Some(Fault::Node),
        None => reason == ON_REQUEST,
    };
    let is_a_kind = kind.is_some() || (!words.is_empty() && HEADS.contains(&head));
    match (is_ours, is_a_kind) {
        (true, _) => Some(reason),
        (false, true) => Some(head),
        (false, false) => None,
    }
}

impl Settlement {
    /// Takes out what claude or a handler has said of how the attempt ended, and what claude said on its way. The answer of
    /// a success stays: it is what was paid for.
    pub(crate) fn redact(&mut self) {
        if let Some(reason) = &mut self.reason {
            *reason = without_contents(reason).unwrap_or(REDACTED).to_owned();
        }
        if let Some(error) = &mut self.error {
            let whole = format!("{}: {}", error.kind, error.message);
            if without_contents(&whole) != Some(&whole) {
                error.message = REDACTED.to_owned();
            }
        }
        if self.run.outcome != "success" {
            self.run.result = None;
        }
        for event in &mut self.run.last_events {
            let end = event.find(' ').unwrap_or(event.len());
            event.truncate(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_claude_or_a_handler_has_said_is_not_told() {
        for (reason, expected) in [
            ("timeout: stopped: `timeout` passed", Some("timeout: stopped: `timeout` passed")),
            ("binary_missing: `claude` does not exist", Some("binary_missing: `claude` does not exist")),
            ("cancelled on request", Some("cancelled on request")),
            ("result_error: API Error: token abc rejected", Some("result_error")),
            ("interrupted: environment: who knows", Some("interrupted")),
            ("handler: the customer's name is Ada", Some("handler")),
            ("follow-on job refused: database: it is for Ada", Some("follow-on job refused")),
            ("Ada: not our customer", None),
            ("too dear", None),
        ] {
            assert_eq!(without_contents(reason), expected, "{reason}");
        }
    }
}
