//! Options that cannot stand together: each rule once, for constants (judged while the user's crate
//! compiles) and for the merged options of a run.

use std::time::Duration;

use super::literal::{Literal, is_one_of, parse_duration};
use super::{Args, Options};

/// What the rules look at.
#[derive(Clone, Copy)]
struct Facts {
    system_prompt: bool,
    system_prompt_file: bool,
    append_system_prompt: bool,
    append_system_prompt_file: bool,
    resume: bool,
    from_pr: bool,
    fork_session: bool,
    session_id: bool,
    no_session_persistence: bool,
    idle_timeout: Option<Duration>,
    tool_timeout: Option<Duration>,
    timeout: Option<Duration>,
}

/// The options at which the rules below are shown. The attribute has the same list, to find their places.
pub const SHOWN_AT: &[&str] = &[
    "system_prompt_file",
    "append_system_prompt_file",
    "from_pr",
    "no_session_persistence",
    "fork_session",
    "session_id",
    "idle_timeout",
    "tool_timeout",
];

impl Facts {
    /// What is wrong, if the rule that is shown at this option is broken.
    const fn problem_at(self, option: &str) -> Option<&'static str> {
        let continues = self.resume || self.from_pr;
        if is_one_of(option, &["system_prompt_file"]) && self.system_prompt && self.system_prompt_file {
            return Some("`system_prompt` and `system_prompt_file` exclude each other: set one");
        }
        if is_one_of(option, &["append_system_prompt_file"])
            && self.append_system_prompt
            && self.append_system_prompt_file
        {
            return Some(
                "`append_system_prompt` and `append_system_prompt_file` exclude each other: set one",
            );
        }
        if is_one_of(option, &["from_pr"]) && self.resume && self.from_pr {
            return Some("`resume` and `from_pr` exclude each other: set one");
        }
        if is_one_of(option, &["no_session_persistence"]) && self.no_session_persistence && continues {
            return Some(
                "`no_session_persistence` keeps nothing of the session that `resume` continues: drop one of them",
            );
        }
        if is_one_of(option, &["fork_session"]) && self.fork_session && !continues {
            return Some("`fork_session` needs `resume`: name the session to fork");
        }
        if is_one_of(option, &["session_id"]) && self.session_id && continues && !self.fork_session {
            return Some("`session_id` with `resume` needs `fork_session = true`");
        }
        if is_one_of(option, &["idle_timeout"])
            && let (Some(idle), Some(total)) = (self.idle_timeout, self.timeout)
            && idle.as_nanos() > total.as_nanos()
        {
            return Some("`idle_timeout` is above `timeout` and could never fire: lower it");
        }
        if is_one_of(option, &["tool_timeout"])
            && let (Some(tool), Some(total)) = (self.tool_timeout, self.timeout)
            && tool.as_nanos() > total.as_nanos()
        {
            return Some("`tool_timeout` is above `timeout` and could never fire: lower it");
        }
        None
    }
}

impl Options {
    /// Every rule that is broken.
    pub(super) fn contradictions(&self) -> impl Iterator<Item = &'static str> {
        let on = |flag: Option<bool>| flag == Some(true);
        let facts = Facts {
            system_prompt: self.system_prompt.is_some(),
            system_prompt_file: self.system_prompt_file.is_some(),
            append_system_prompt: self.append_system_prompt.is_some(),
            append_system_prompt_file: self.append_system_prompt_file.is_some(),
            resume: self.resume.is_some(),
            from_pr: self.from_pr.is_some(),
            fork_session: on(self.fork_session),
            session_id: self.session_id.is_some(),
            no_session_persistence: on(self.no_session_persistence),
            idle_timeout: self.idle_timeout,
            tool_timeout: self.tool_timeout,
            timeout: self.timeout,
        };
        SHOWN_AT.iter().filter_map(move |option| facts.problem_at(option))
    }
}

impl Args {
    const fn facts(&self) -> Facts {
        Facts {
            system_prompt: self.system_prompt.is_some(),
            system_prompt_file: self.system_prompt_file.is_some(),
            append_system_prompt: self.append_system_prompt.is_some(),
            append_system_prompt_file: self.append_system_prompt_file.is_some(),
            resume: self.resume.is_some(),
            from_pr: self.from_pr.is_some(),
            fork_session: is_on(self.fork_session),
            session_id: self.session_id.is_some(),
            no_session_persistence: is_on(self.no_session_persistence),
            idle_timeout: duration(self.idle_timeout),
            tool_timeout: duration(self.tool_timeout),
            timeout: duration(self.timeout),
        }
    }

    /// Panics where the rule that is shown at this option is broken.
    #[track_caller]
    pub const fn check_beside(&self, option: &str) {
        if let Some(problem) = self.facts().problem_at(option) {
            panic!("{}", problem);
        }
    }

    /// Panics where there is no prompt, for a worker whose schedule has none to give.
    #[track_caller]
    pub const fn check_prompt(&self) {
        assert!(
            self.prompt.is_some(),
            "a schedule has no prompt to give: add `prompt = \"…\"` to the worker"
        );
    }

    /// Panics where there is a schema, for a worker whose `output` makes it.
    #[track_caller]
    pub const fn check_no_schema(&self) {
        assert!(
            self.json_schema.is_none(),
            "the schema is given twice: `output` makes it from the type, and a base of `args` or `pinned_args` \
             has a `json_schema`"
        );
    }

    /// Panics where no session is kept, for a worker that is to go on in a lost run's session.
    #[track_caller]
    pub const fn check_resumable(&self) {
        assert!(
            !is_on(self.no_session_persistence),
            "`no_session_persistence` leaves no session for `on_lost = \"resume\"`: drop one of them"
        );
    }
}

const fn is_on(flag: Option<Literal>) -> bool {
    matches!(flag, Some(Literal::Bool(true)))
}

/// The duration that a literal means; none where it means none, which is another check's to say.
const fn duration(literal: Option<Literal>) -> Option<Duration> {
    match literal {
        Some(Literal::Str(text)) => parse_duration(text),
        Some(Literal::Int(seconds)) if seconds > 0 => Some(Duration::from_secs(seconds as u64)),
        Some(Literal::Float(seconds)) if seconds > 0.0 && seconds < 1e9 => {
            Some(Duration::from_millis((seconds * 1000.0) as u64))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use serde_json::json;

    use super::*;
    use crate::options::ArgMap;

    /// Each rule broken, with the option at which it is shown.
    fn broken() -> Vec<(Args, &'static str, serde_json::Value)> {
        let text = Literal::Str;
        let on = Literal::Bool(true);
        vec![
            (
                Args::EMPTY.system_prompt(text("a")).system_prompt_file(text("b")),
                "system_prompt_file",
                json!({"system_prompt": "a", "system_prompt_file": "b"}),
            ),
            (
                Args::EMPTY.append_system_prompt(text("a")).append_system_prompt_file(text("b")),
                "append_system_prompt_file",
                json!({"append_system_prompt": "a", "append_system_prompt_file": "b"}),
            ),
            (
                Args::EMPTY.resume(text("s")).from_pr(text("7")),
                "from_pr",
                json!({"resume": "s", "from_pr": "7"}),
            ),
            (
                Args::EMPTY.resume(text("s")).no_session_persistence(on),
                "no_session_persistence",
                json!({"resume": "s", "no_session_persistence": true}),
            ),
            (Args::EMPTY.fork_session(on), "fork_session", json!({"fork_session": true})),
            (
                Args::EMPTY.resume(text("s")).session_id(text("0199f1de-0000-7000-8000-0123456789ab")),
                "session_id",
                json!({"resume": "s", "session_id": "0199f1de-0000-7000-8000-0123456789ab"}),
            ),
            (
                Args::EMPTY.idle_timeout(text("2m")).timeout(Literal::Float(90.5)),
                "idle_timeout",
                json!({"idle_timeout": "2m", "timeout": 90.5}),
            ),
            (
                Args::EMPTY.tool_timeout(text("2m")).timeout(Literal::Float(90.5)),
                "tool_timeout",
                json!({"tool_timeout": "2m", "timeout": 90.5}),
            ),
        ]
    }

    #[test]
    fn constants_and_run_time_agree() {
        let broken = broken();
        assert_eq!(broken.len(), SHOWN_AT.len());
        for (args, option, map) in broken {
            let map: ArgMap = serde_json::from_value(map).expect("a map");
            let problem = Options::check_layer(&map).expect_err(option).to_string();
            assert_eq!(args.facts().problem_at(option), Some(problem.as_str()), "{option}");
            for other in SHOWN_AT.iter().filter(|other| **other != option) {
                assert_eq!(args.facts().problem_at(other), None, "{option} at {other}");
            }
            assert!(catch_unwind(|| args.check_beside(option)).is_err(), "{option}");
        }
    }

    #[test]
    fn what_is_switched_off_contradicts_nothing() {
        let off = Literal::Bool(false);
        let args = Args::EMPTY.resume(Literal::Str("s")).no_session_persistence(off).fork_session(off);
        for option in SHOWN_AT {
            args.check_beside(option);
        }
        args.check_resumable();
    }
}
