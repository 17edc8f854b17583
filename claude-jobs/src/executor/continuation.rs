//! Going on in the session of a run before: what is asked of claude after one that was lost, what is done
//! where the session's transcript is on another machine, and what both used. Pure.

use crate::job::{Job, Session};
use crate::options::Options;
use crate::outcome::{FailureKind, Run};

/// The prompt of a run that continues a lost one. The task is in the session already.
pub(super) const PROMPT: &str = "The previous run of this task was interrupted before it came to its end. Continue the \
    task from where it stands. Before you repeat anything, check what is already done: files, commits, \
    anything sent or created elsewhere. When the task is done, answer as it was asked for at the beginning.";

/// The prompt of a run that continues a lost one which may or may not have been given this prompt.
pub(super) fn asked_again(prompt: &str) -> String {
    const LAST: &str = "The last instruction in this session was:";
    // Of one that is lost again and again it is said once.
    let prompt = prompt.rsplit_once(LAST).map_or(prompt, |(_, prompt)| prompt.trim_start());
    format!("{PROMPT}\n\n{LAST}\n\n{prompt}")
}

/// The options of a run that goes on in a session, with this prompt.
pub(super) fn of(options: &Options, session: &Session, prompt: String) -> Options {
    let mut options = options.clone();
    options.prompt = Some(prompt);
    options.resume = Some(session.id.clone());
    options.fork_session = session.fork.then_some(true);
    // Where they name a session, it is the one that this continues.
    (options.session_id, options.from_pr) = (None, None);
    // The session knows its worktree; asked for again, the CLI would make another.
    options.worktree = None;
    options
}

/// Whether nothing was run because the session that it was to begin is there already.
pub(super) fn has_begun(run: &Run) -> bool {
    run.failure().is_some_and(|failure| failure.kind == FailureKind::SessionInUse)
}

/// Whether nothing was run because there is no such session here.
pub(super) fn is_out_of_reach(run: &Run) -> bool {
    run.failure().is_some_and(|failure| failure.kind == FailureKind::SessionNotFound)
}

/// Whether an attempt is left to start anew in place of the session that cannot be continued: the attempt that has left
/// that session without counting counts then.
pub(super) fn may_start_anew(job: &Job) -> bool {
    let counts_now = job.continuation.session.as_ref().is_some_and(|session| session.uncounted);
    job.counted_attempts() + u32::from(counts_now) <= job.max_attempts
}

/// The run that has started anew, after one that did nothing because there is no such session here.
pub(super) fn started_anew(out_of_reach: Run, anew: Run) -> Run {
    let mut run = added_up(out_of_reach, anew);
    run.last_events.insert(0, "the session to continue was not on this host: started anew".to_owned());
    run
}

/// The second run, with what the first one has used up: an unknown cost makes the sum unknown.
pub(super) fn added_up(first: Run, mut second: Run) -> Run {
    second.cost_usd = first.cost_usd.zip(second.cost_usd).map(|(first, second)| first + second);
    second.turns =
        first.turns.map_or(second.turns, |turns| Some(turns.saturating_add(second.turns.unwrap_or(0))));
    if let Some(tokens) = first.tokens {
        second.tokens.get_or_insert_default().add(tokens);
    }
    second.started |= first.started;
    second.worked |= first.worked;
    second.last_events.splice(0..0, first.last_events);
    for warning in first.warnings {
        if !second.warnings.contains(&warning) {
            second.warnings.push(warning);
        }
    }
    second
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Tokens;
    use crate::options::ArgMap;
    use crate::outcome::{Report, judge};

    #[test]
    fn a_continuation_changes_the_session_and_the_prompt_only() {
        let args =
            ArgMap::new().prompt("do it").model("opus").session_id("0199f1de-0000-7000-8000-0123456789ab");
        let options = Options::merge([&args.worktree(true)]).expect("valid");
        let session = Session::new("s");
        let continued = of(&options, &session, PROMPT.to_owned()).to_json();
        assert_eq!((&continued["resume"], &continued["model"]), (&"s".into(), &"opus".into()));
        assert_ne!(continued["prompt"], "do it");
        assert_eq!(continued.len(), 3, "{continued:?}");
        let forked = of(&options, &Session { fork: true, ..session }, PROMPT.to_owned()).to_json();
        assert_eq!((&forked["resume"], &forked["fork_session"]), (&"s".into(), &true.into()));
    }

    #[test]
    fn what_both_runs_used_is_added_up() {
        let run = |cost: Option<f64>, turns: Option<u32>, input: Option<u64>| {
            let mut run = judge(Report::new(None), &Options::default());
            (run.cost_usd, run.turns) = (cost, turns);
            run.tokens = input.map(|input| Tokens { input, ..Tokens::default() });
            run
        };
        let sum = |first, second| {
            let run = added_up(first, second);
            (run.cost_usd, run.turns, run.tokens.map(|tokens| tokens.input))
        };
        let both = sum(run(Some(0.5), Some(1), Some(3)), run(Some(0.25), Some(2), Some(4)));
        assert_eq!(both, (Some(0.75), Some(3), Some(7)));
        assert_eq!(sum(run(Some(0.0), Some(0), None), run(None, None, None)), (None, Some(0), None));
        assert_eq!(sum(run(None, None, None), run(Some(0.25), Some(2), Some(4))), (None, Some(2), Some(4)));
    }
}
