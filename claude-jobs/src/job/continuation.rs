//! [`Continuation`]: what the next attempt of a job takes over from earlier ones.

use serde::{Deserialize, Serialize};

/// What the next attempt of a job takes over from earlier ones, and what those have used up besides attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Continuation {
    /// The session that the next attempt continues. None: it starts anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// Whether claude has answered already: the next attempt only runs the worker's handler, with the stored answer.
    #[serde(skip_serializing_if = "is_false")]
    pub answered: bool,
    /// How many attempts were interrupted and continued without counting: by a shutdown, a lost lease, a dead node.
    #[serde(skip_serializing_if = "is_zero")]
    pub interruptions: u32,
    /// How many times the worker's handler has failed on the present answer.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed_handlers: u32,
}

/// A session to continue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Where its transcript is: [`Claude::session_host`](crate::claude::Claude::session_host) of the node that ran it.
    /// None: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What claude is asked. None: to go on where it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Whether the attempt that has left it did not count. Where the session cannot be continued after all, that attempt
    /// counts.
    #[serde(skip_serializing_if = "is_false")]
    pub uncounted: bool,
    /// Whether a fork of it is continued (`--fork-session`): it belongs to the database that this one is a copy of.
    #[serde(skip_serializing_if = "is_false")]
    pub fork: bool,
}

impl Session {
    /// A session of that id, of which no more is known.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }
}

impl Continuation {
    /// The stored answer waits for its handler once more.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn of_answer(&self) -> Self {
        Self { answered: true, failed_handlers: self.failed_handlers, ..Self::default() }
    }

    /// Whether there is nothing to take over: as it is before a job's first attempt.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Where the session to continue has its transcript.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn session_host(&self) -> Option<&str> {
        self.session.as_ref()?.host.as_deref()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_stands_in_the_row() {
        let continuation = Continuation { session: Some(Session::new("s")), ..Continuation::default() };
        let text = serde_json::to_string(&continuation).expect("JSON");
        assert_eq!(text, r#"{"session":{"id":"s"}}"#);
        assert_eq!(serde_json::from_str::<Continuation>(&text).expect("ours"), continuation);
        assert_eq!(serde_json::to_string(&Continuation::default()).expect("JSON"), "{}");
    }
}
