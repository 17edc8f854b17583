//! What is claimed after what runs have met.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::clock::timestamp;
use crate::definition::Definition;
use crate::job::{NewJob, Schedule};
use crate::options::Options;
use crate::outcome::{Ending, NotStarted, Outcome, Report, judge};

fn now() -> Timestamp {
    timestamp(1_800_000_000_000_000)
}

fn job(id: i64) -> Job {
    const DEFINITION: Definition = Definition::new("worker", "queue");
    let mut new = NewJob::new("worker", json!({}));
    new.args.set("prompt", json!("hello"));
    new.schedule = Schedule::Now;
    let row = new.into_row(&DEFINITION, &crate::untrusted::Values::default(), now()).expect("valid");
    Job { attempt: 1, ..row.stored_as(JobId(id)) }
}

fn gate() -> Gate {
    Gate::new("account".into(), vec!["queue".into()], Footprint::default(), 0)
}

/// A run that failed so, or succeeded; the fault of a node is one of a CLI that has not started.
fn run(failed: Option<FailureKind>) -> Run {
    let mut report = Report::new(None);
    report.ending = match failed.and_then(FailureKind::fault) {
        Some(Fault::Node) => Ending::NotStarted(NotStarted::Environment("no room".into())),
        _ => Ending::Exited(0),
    };
    let outcome = failed.map_or(Outcome::Success, |kind| Outcome::Failure(Failure::new(kind, "no")));
    Run { outcome, ..judge(report, &Options::default()) }
}

fn met(gate: &Gate, job: &Job, failed: Option<FailureKind>) -> Met {
    gate.met(job, &run(failed), false, now())
}

fn admits(gate: &Gate, job: &Job) -> bool {
    gate.admit(job, || 0) == Admission::Yes
}

const LOGIN: Option<FailureKind> = Some(FailureKind::Authentication);
const MACHINE: Option<FailureKind> = Some(FailureKind::Environment);

#[test]
fn after_a_fault_of_the_node_one_job_is_tried_and_then_all_are_claimed() {
    let (gate, first, second) = (gate(), job(1), job(2));
    assert!(admits(&gate, &first) && admits(&gate, &second) && gate.room(|| 0) == u32::MAX);
    assert!(matches!(met(&gate, &first, MACHINE), Met::Node(_)));
    assert_eq!((gate.room(|| 0), gate.admit(&second, || 0)), (0, Admission::No));
    assert_eq!(met(&gate, &second, None), Met::Nothing, "it started before");
    assert_eq!(gate.room(|| 0), 0, "and proves nothing of now");
    gate.probed(Ok(()));
    assert_eq!(gate.room(|| 0), 1);
    assert!(admits(&gate, &first) && !admits(&gate, &second), "one at a time");
    assert_eq!(gate.room(|| 0), 0);
    assert_eq!(met(&gate, &first, None), Met::Nothing);
    gate.ended(&first);
    assert_eq!(gate.room(|| 0), u32::MAX);
}

#[test]
fn a_fault_of_the_account_cancels_who_meets_it_first_and_gives_back_who_tries_it() {
    let (gate, first, second, third) = (gate(), job(1), job(2), job(3));
    assert!(matches!(met(&gate, &first, LOGIN), Met::Account(AccountChange::Stop(_))));
    assert!(matches!(met(&gate, &second, LOGIN), Met::Account(AccountChange::Stop(_))), "it ran already");
    assert!(!admits(&gate, &third));
    let Account::Stopped(row) = gate.account_state() else { panic!("{gate:?}") };
    assert_eq!((row.times, &*row.kind), (1, "authentication"), "once for all that ran");
    for overtaken in [false, true] {
        gate.set_account(Account::Trial(row.clone()));
        assert!(admits(&gate, &third));
        if overtaken {
            // What another run has met meanwhile is written: the trial is over by the database.
            gate.set_account(Account::Stopped(row.clone()));
        }
        assert!(matches!(met(&gate, &third, LOGIN), Met::Known(..)), "{overtaken}");
        gate.ended(&third);
    }
    gate.set_account(Account::Trial(row.clone()));
    assert!(admits(&gate, &third));
    let worked = Run { worked: true, ..run(LOGIN) };
    assert!(matches!(gate.met(&third, &worked, false, now()), Met::Account(AccountChange::Failed(_))));
    gate.ended(&third);
    gate.set_account(Account::Trial(row));
    assert!(admits(&gate, &second));
    met(&gate, &second, None);
    assert_eq!(gate.account_state(), Account::Allowed);
}

#[test]
fn a_job_that_meets_what_no_probe_finds_is_at_fault_after_a_few_times() {
    let (gate, poison, other) = (gate(), job(1), job(2));
    for time in 1..=4 {
        assert!(admits(&gate, &poison), "{time}");
        assert!(matches!(met(&gate, &poison, MACHINE), Met::Node(_)), "{time}");
        gate.ended(&poison);
        gate.probed(Ok(()));
    }
    assert!(admits(&gate, &poison));
    assert_eq!(met(&gate, &poison, MACHINE), Met::Nothing);
    gate.ended(&poison);
    assert!(admits(&gate, &other), "the next is tried");
    met(&gate, &other, None);
    assert_eq!(gate.room(|| 0), u32::MAX);
    // A fault that a probe finds is the node's, however often.
    for time in 1..=9 {
        met(&gate, &poison, None);
        assert!(matches!(met(&gate, &poison, MACHINE), Met::Node(_)), "{time}");
        gate.probed(Err(&Problem::new(FailureKind::Environment, "no room")));
        gate.probed(Ok(()));
    }
}

/// Jobs that met a fault here and were run elsewhere, or deleted, are not remembered for ever.
#[tokio::test(start_paused = true)]
async fn what_has_met_a_fault_long_ago_is_forgotten() {
    let gate = gate();
    for number in 1..=50 {
        met(&gate, &job(number), MACHINE);
        tokio::time::advance(Duration::from_secs(600)).await;
    }
    assert_eq!(gate.inner().suspects.len(), 6, "those of the last hour");
}
