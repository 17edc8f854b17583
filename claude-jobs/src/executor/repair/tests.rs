//! What a repair asks for and within which limits, and what becomes of both runs.

use serde_json::json;

use super::*;
use crate::options::ArgMap;
use crate::output::OutputType;

fn options(args: ArgMap) -> Options {
    Options::merge([&args.prompt("do it").json_schema(json!({"type": "object"}))]).expect("valid")
}

fn run(session: Option<&str>, cost: Option<f64>) -> Run {
    let mut run = judge(Report::new(session.map(str::to_owned)), &Options::default());
    run.cost_usd = cost;
    run
}

fn planned(args: ArgMap, run: &Run) -> Result<Options, &'static str> {
    plan(&options(args), run, &Mismatch::missing(), Duration::from_secs(60))
}

#[test]
fn a_repair_stays_within_what_is_left() {
    let args =
        ArgMap::new().max_budget_usd(2.0).timeout(90u64).worktree(true).max_turns(9).fork_session(true);
    let repair = planned(
        args.resume("before").session_id("0199f1de-0000-7000-8000-0123456789ab"),
        &run(Some("s"), Some(0.5)),
    );
    let repair = repair.expect("there is something left");
    assert_eq!(repair.resume.as_deref(), Some("s"));
    assert_eq!((repair.session_id, repair.fork_session, repair.worktree), (None, None, None));
    assert_eq!((repair.max_budget_usd, repair.timeout), (Some(1.5), Some(Duration::from_secs(30))));
    assert_eq!((repair.max_turns, repair.json_schema.as_deref()), (Some(9), Some(r#"{"type":"object"}"#)));
}

#[test]
fn where_there_is_no_repair_the_reason_is_known() {
    let with = ArgMap::new;
    let cases = [
        (
            with().no_session_persistence(true),
            Some("s"),
            Some(0.5),
            "`no_session_persistence` leaves no session to resume",
        ),
        (with(), None, Some(0.5), "the run named no session to resume"),
        (with().max_budget_usd(0.5), Some("s"), Some(0.5), "`max_budget_usd` is spent"),
        (with().max_budget_usd(0.5), Some("s"), None, "what is left of `max_budget_usd` is unknown"),
        (with().timeout(60u64), Some("s"), Some(0.5), "`timeout` leaves no time"),
    ];
    for (args, session, cost, why) in cases {
        assert_eq!(planned(args, &run(session, cost)).err(), Some(why));
    }
    assert!(planned(with(), &run(Some("s"), None)).is_ok(), "without a budget the cost does not matter");
}

#[test]
fn claude_is_told_each_mistake() {
    let prompt = prompt(&Mismatch::missing());
    assert!(
        prompt.contains("\n- no structured answer came\n\nWhat is quoted here is your own answer"),
        "{prompt}"
    );
}

/// A worker whose answer is right when it is `{"right": true}`.
const JUDGE: Definition = Definition {
    output: Some(OutputType {
        name: "Right",
        schema: || Err("nobody asks".to_owned()),
        mismatch: |run| (run.structured != Some(json!({"right": true}))).then(Mismatch::missing),
    }),
    ..Definition::new("judge", "q")
};

fn answered(structured: serde_json::Value) -> Run {
    let mut run = run(Some("s"), Some(0.25));
    (run.outcome, run.structured) = (Outcome::Success, Some(structured));
    run
}

#[test]
fn both_runs_are_judged_by_the_second() {
    let wrong = || answered(json!({"right": false}));
    let outcome = |second: Run| {
        let run = joined(&JUDGE, wrong(), &Mismatch::missing(), second);
        (run.outcome_name(), run.cost_usd, run.ending_text())
    };
    let after = |ending: &str| format!("{ending}, after a repair");
    assert_eq!(outcome(answered(json!({"right": true}))), ("success", Some(0.5), after("exit 0")));
    assert_eq!(outcome(wrong()), ("output_mismatch", Some(0.5), after("exit 0")));
    let timeout = outcome(stopped(StopReason::Timeout));
    assert_eq!(timeout, ("timeout", None, after("stopped: timeout")));

    let mut gone = run(Some("s"), Some(0.0));
    gone.outcome = Outcome::Failure(Failure::new(FailureKind::SessionNotFound, "no such session"));
    let no_repair = "exit 0, no repair: its session is not on this machine".to_owned();
    assert_eq!(outcome(gone), ("output_mismatch", Some(0.25), no_repair));

    let kept = joined(&JUDGE, wrong(), &Mismatch::missing(), stopped(StopReason::Cancel));
    assert_eq!(kept.structured, Some(json!({"right": false})), "what was paid for stays in the ledger");
}
