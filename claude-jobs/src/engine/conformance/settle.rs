//! The end of runs: every field of it, and requests for cancellation that came in between.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Database;
use super::fixture::{
    after, all_jobs, ask, at, claim, claim_one, continuing, end, end_with_all, fields, insert, insert_all,
    job, keyed, new, open, run_row, running, settle, unique, written,
};
use crate::clock::later;
use crate::engine::Settled;
use crate::job::{AttemptError, Continuation, Job, JobRow, RunRow, State, Tokens};
use crate::settlement::Settlement;

/// In each state the row is what the settlement says, and nobody's any more.
pub async fn every_state(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    for target in State::ALL.into_iter().filter(|state| *state != State::Executing) {
        let run = running(&*engine, new(at(0))).await;
        let settlement = Settlement {
            scheduled_at: at(77),
            finished_at: target.is_final().then_some(at(9)),
            reason: Some(format!("because of 'all' of \"it\" \\ {target}")),
            ..end(&run, target, at(9))
        };
        // The engine is told when it is; what it writes was worked out before.
        assert!(settle(&*engine, settlement.clone(), at(10)).await);
        let expected = Job {
            state: target,
            scheduled_at: at(77),
            finished_at: settlement.finished_at,
            reason: settlement.reason,
            node: None,
            ..run.clone()
        };
        assert_eq!(fields(&job(&*other, run.id).await), fields(&expected), "{target}");
        if !target.is_final() {
            engine.delete(run.id).await.expect("it waits");
        }
    }
}

/// The ledger keeps what is known, and that the rest is not known.
pub async fn ledger(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let bare = running(&*engine, new(at(0))).await;
    assert!(settle(&*engine, end(&bare, State::Completed, at(5)), at(5)).await);
    let full = running(&*engine, new(at(6))).await;
    let run = RunRow {
        session_id: Some("session".to_owned()),
        outcome: "overloaded".to_owned(),
        verdict: "retry".to_owned(),
        ending: "signal 9".to_owned(),
        cost_usd: Some(0.1 + 0.2),
        turns: Some(u32::MAX),
        tokens: Some(Tokens { input: 0, output: 2, cache_read: 3_000_000_000_000, cache_creation: 4 }),
        model: Some("model".to_owned()),
        cli_version: Some("2.1.0".to_owned()),
        result: Some("quote ' \" \\ 👩‍👩‍👧 \u{202e} \r\n".repeat(20_000)),
        structured: Some(json!({ "list": [null, 1.5, "text\0"], "__proto__": {} })),
        last_events: vec!["one".to_owned(), String::new(), "three".to_owned()],
        environment: BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), String::new())]),
        ..run_row(&full, at(7))
    };
    assert!(
        settle(&*engine, Settlement { run: run.clone(), ..end(&full, State::Completed, at(7)) }, at(7)).await
    );
    for connection in [&engine, &other] {
        let stored = connection.runs(full.id).await.expect("a read");
        assert_eq!(fields(&stored), fields(&vec![run.clone()]));
        let stored = connection.runs(bare.id).await.expect("a read");
        assert_eq!(fields(&stored), fields(&vec![run_row(&bare, at(5))]));
        let RunRow { cost_usd: None, turns: None, tokens: None, result: None, structured: None, .. } =
            stored[0]
        else {
            panic!("unknown is not zero: {stored:?}");
        };
    }
    // Free is not unknown either.
    let free = running(&*engine, new(at(8))).await;
    let run = RunRow { cost_usd: Some(0.0), tokens: Some(Tokens::default()), ..run_row(&free, at(8)) };
    assert!(settle(&*engine, Settlement { run, ..end(&free, State::Completed, at(8)) }, at(8)).await);
    let stored = engine.runs(free.id).await.expect("a read");
    assert_eq!((stored[0].cost_usd, stored[0].tokens), (Some(0.0), Some(Tokens::default())));
}

/// Each attempt leaves its own row, and each failure its own, oldest first.
pub async fn attempts_in_order(database: &dyn Database) {
    let engine = open(database).await;
    let id = insert(&*engine, new(at(0))).await.id;
    for attempt in 1..=12 {
        let run = claim_one(&*engine, at(attempt)).await;
        let error = (attempt % 2 == 1).then(|| AttemptError {
            attempt: run.attempt,
            at: at(attempt),
            kind: format!("kind {attempt}"),
            message: format!("message {attempt}"),
        });
        let ledger = RunRow { outcome: format!("outcome {attempt}"), ..run_row(&run, at(attempt)) };
        let settlement = Settlement { error, run: ledger, ..end(&run, State::Retryable, at(attempt)) };
        assert!(settle(&*engine, settlement, at(attempt)).await);
    }
    let runs = engine.runs(id).await.expect("a read");
    assert_eq!(runs.iter().map(|run| run.attempt).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert!(runs.iter().all(|run| run.outcome == format!("outcome {}", run.attempt)));
    let errors = engine.errors(id).await.expect("a read");
    assert_eq!(errors.iter().map(|error| error.attempt).collect::<Vec<_>>(), [1, 3, 5, 7, 9, 11]);
    let expected =
        AttemptError { attempt: 11, at: at(11), kind: "kind 11".into(), message: "message 11".into() };
    assert_eq!(fields(&errors[5]), fields(&expected));
}

/// Notes are replaced where there are new ones; the session is what the settlement says, and else none.
pub async fn notes_and_session(database: &dyn Database) {
    let engine = open(database).await;
    let notes = |text: &str| Map::from_iter([(text.to_owned(), Value::from(text))]);
    let id = insert(&*engine, JobRow { meta: notes("first"), ..new(at(0)) }).await.id;
    for (meta, session, expected) in [
        (None, Some("one"), notes("first")),
        (Some(notes("second")), Some("two"), notes("second")),
        (None, None, notes("second")),
        (Some(Map::new()), Some(""), Map::new()),
    ] {
        let run = claim_one(&*engine, at(1)).await;
        let continuation = session.map_or_else(Continuation::default, |session| continuing(session, None));
        let settlement =
            Settlement { meta, continuation: continuation.clone(), ..end(&run, State::Retryable, at(1)) };
        assert!(settle(&*engine, settlement, at(1)).await);
        let stored = job(&*engine, id).await;
        assert_eq!((stored.meta, stored.continuation), (expected, continuation));
    }
}

/// Snoozes and attempts that do not count are counted, each by itself.
pub async fn what_does_not_count(database: &dyn Database) {
    let engine = open(database).await;
    let id = insert(&*engine, new(at(0))).await.id;
    let mut expected = (0, 0);
    for (uncounted, snoozed) in [(1, true), (1, false), (0, false), (-1, true)] {
        let run = claim_one(&*engine, at(1)).await;
        let settlement = Settlement { uncounted, snoozed, ..end(&run, State::Retryable, at(1)) };
        assert!(settle(&*engine, settlement, at(1)).await);
        expected = (expected.0 + uncounted, expected.1 + u32::from(snoozed));
        let stored = job(&*engine, id).await;
        assert_eq!((stored.uncounted as i32, stored.snoozes), expected);
    }
    assert_eq!(job(&*engine, id).await.attempt, 4);
}

/// A job that somebody wants cancelled does not go back to waiting: nothing of such a settlement is written, on any way
/// that a settlement takes, and the caller settles it as cancelled. One that is over is over.
pub async fn cancellation_requests(database: &dyn Database) {
    let engine = open(database).await;
    for target in State::ALL.into_iter().filter(|state| *state != State::Executing) {
        let run = running(&*engine, new(at(0))).await;
        engine.cancel(run.id, at(1)).await.expect("it runs");
        let asked = job(&*engine, run.id).await;
        let loud = Settlement { scheduled_at: at(50), ..end_with_all(&run, target, at(2)) };
        let quiet = Settlement { follow_ons: Vec::new(), snoozed: true, ..loud.clone() };
        if !target.is_final() {
            for settlement in [loud, quiet.clone()] {
                let settled = engine.settle(&[settlement], at(3)).await.expect("a settlement");
                assert_eq!(settled, [Settled::CancelRequested], "{target}");
            }
            assert_eq!(fields(&job(&*engine, run.id).await), fields(&asked), "{target}: nothing is written");
            assert!(engine.runs(run.id).await.expect("a read").is_empty(), "{target}");
            assert!(engine.errors(run.id).await.expect("a read").is_empty(), "{target}");
            let end = quiet.cancelled(at(3));
            assert!(settle(&*engine, end, at(3)).await, "{target}");
        } else {
            assert!(settle(&*engine, quiet, at(3)).await, "{target}");
        }
        let stored = job(&*engine, run.id).await;
        let expected = match target.is_final() {
            true => (target, Some("why"), Some(at(2))),
            false => (State::Cancelled, Some("cancelled on request"), Some(at(3))),
        };
        assert_eq!((stored.state, stored.reason.as_deref(), stored.finished_at), expected, "{target}");
        assert!(!stored.cancel_requested, "{target}: the request is answered");
        assert_eq!(stored.node, None, "{target}");
        assert_eq!(engine.runs(run.id).await.expect("a read").len(), 1, "{target}: it ran all the same");
        assert_eq!(engine.errors(run.id).await.expect("a read").len(), 1, "{target}");
    }
    assert!(claim(&*engine, &ask(9, at(100))).await.is_empty());
    assert_eq!(all_jobs(&*engine).await.len(), 6, "no follow-on jobs");
}

/// A text with a NUL in it, which some databases do not take, is no reason not to settle a run: the rest
/// of the text is there.
pub async fn texts_with_nul(database: &dyn Database) {
    let engine = open(database).await;
    let run = running(&*engine, new(at(0))).await;
    let text = || "be\0fore \0 after".to_owned();
    let ledger = RunRow {
        outcome: text(),
        verdict: text(),
        ending: text(),
        model: Some(text()),
        result: Some(text()),
        session_id: Some(text()),
        structured: Some(json!({ "a\0b": "\0" })),
        last_events: vec![text()],
        environment: BTreeMap::from([(text(), text())]),
        ..run_row(&run, at(1))
    };
    let settlement = Settlement {
        run: ledger,
        reason: Some(text()),
        meta: Some(Map::from_iter([(text(), Value::from(text()))])),
        error: Some(AttemptError { attempt: 1, at: at(1), kind: text(), message: text() }),
        ..end(&run, State::Discarded, at(1))
    };
    assert!(settle(&*engine, settlement, at(1)).await);
    let (run, job, error) = (
        engine.runs(run.id).await.expect("a read").remove(0),
        job(&*engine, run.id).await,
        engine.errors(run.id).await.expect("a read").remove(0),
    );
    let plain = [run.outcome, run.verdict, run.ending, error.kind, error.message];
    let optional = [run.model, run.result, run.session_id, job.reason];
    for stored in plain.into_iter().chain(optional.into_iter().flatten()) {
        let rest: String = stored.chars().filter(|letter| !matches!(letter, '\0' | '\u{fffd}')).collect();
        assert_eq!(rest, "before  after", "{stored:?}");
    }
    assert_eq!(run.structured, Some(json!({ "a\0b": "\0" })), "JSON has its own way to write it");
    assert_eq!((run.last_events[0].len(), run.environment.len(), job.meta.len()), (15, 1, 1));
}

/// Follow-on jobs come with the settlement, in order, and know its outcome: a key that the job lets go
/// of may be theirs.
pub async fn follow_ons(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let states = [State::Scheduled, State::Available, State::Executing];
    let own = || unique("self", None, &states, at(0));
    let run = running(&*engine, own()).await;
    let in_queue =
        |place: u32| JobRow { input: json!({ "place": place }), queue: "next".into(), ..new(at(1)) };
    let follow_ons = vec![
        in_queue(1),
        JobRow { input: json!({ "place": 2 }), queue: "next".into(), ..own() },
        JobRow { input: json!({ "place": 3 }), queue: "next".into(), ..own() },
        in_queue(4),
        keyed("key", at(1)),
    ];
    assert!(settle(&*engine, Settlement { follow_ons, ..end(&run, State::Completed, at(1)) }, at(1)).await);
    let jobs = all_jobs(&*other).await;
    let places: Vec<_> = jobs[1..].iter().map(|job| job.input["place"].as_u64()).collect();
    assert_eq!(places, [Some(1), Some(2), Some(4), None], "the second of the same key is a duplicate");
    assert_eq!(jobs[4].concurrency_key.as_deref(), Some("key"));

    // A job that counts when it is completed stands in its own follow-on's way: no error.
    let run =
        running(&*engine, JobRow { queue: "again".into(), ..unique("kept", None, &State::ALL, at(2)) }).await;
    let follow_ons = vec![unique("kept", None, &State::ALL, at(2)), new(at(2))];
    assert!(settle(&*engine, Settlement { follow_ons, ..end(&run, State::Completed, at(2)) }, at(2)).await);
    assert_eq!(all_jobs(&*engine).await.len(), 7);

    // Thousands of them, from several settlements of one call.
    let rows = vec![JobRow { queue: "many".into(), ..new(at(3)) }; 3];
    insert_all(&*engine, &rows).await;
    let runs = claim(&*engine, &crate::engine::ClaimRequest { queue: "many", ..ask(3, at(3)) }).await;
    let ends: Vec<_> = (runs.iter().zip([700, 0, 500]))
        .map(|(run, count)| Settlement {
            follow_ons: vec![in_queue(9); count],
            ..end(run, State::Completed, at(4))
        })
        .collect();
    assert_eq!(written(&engine.settle(&ends, at(4)).await.expect("a settlement")), [true, true, true]);
    assert_eq!(all_jobs(&*engine).await.len(), 10 + 1_200);
}

/// Hundreds of runs in one call, of every kind: each ends as if it were alone.
pub async fn a_large_batch(database: &dyn Database) {
    const RUNS: usize = 600;
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); RUNS]).await;
    let runs = claim(&*engine, &ask(RUNS as u32, at(0))).await;
    let targets = [State::Completed, State::Retryable, State::Discarded, State::Scheduled, State::Cancelled];
    let mut batch = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let state = targets[number % targets.len()];
        let mut settlement = end(run, state, at(1));
        settlement.reason = (number % 2 == 0).then(|| format!("reason {number}"));
        settlement.error = (number % 3 == 0).then(|| super::fixture::failure(run, at(1)));
        settlement.run.result = (number % 4 == 0).then(|| format!("result {number}"));
        settlement.meta = (number % 7 == 0).then(|| Map::from_iter([(number.to_string(), Value::Null)]));
        settlement.scheduled_at = later(at(100), Duration::from_secs(number as u64));
        settlement.snoozed = number % 11 == 0;
        if number % 6 == 0 {
            settlement.follow_ons =
                vec![JobRow { queue: "next".into(), worker: format!("w{number}"), ..new(at(1)) }];
        }
        if number % 5 == 4 {
            settlement.attempt += 1;
            settlement.run.attempt += 1;
        }
        batch.push(settlement);
    }
    let settled = engine.settle(&batch, at(2)).await.expect("a settlement");
    let settled = written(&settled);
    assert_eq!(settled, (0..RUNS).map(|number| number % 5 != 4).collect::<Vec<_>>());
    let stored = all_jobs(&*engine).await;
    for (number, (run, new)) in runs.iter().zip(&batch).enumerate() {
        let is_ours = settled[number];
        let expected = if is_ours { after(run, new) } else { run.clone() };
        assert_eq!(fields(&stored[number]), fields(&expected), "{number}");
        let ledger = engine.runs(run.id).await.expect("a read");
        assert_eq!(ledger.len(), usize::from(is_ours), "{number}");
        assert!(ledger.iter().all(|row| row.result == new.run.result), "{number}");
        let errors = engine.errors(run.id).await.expect("a read").len();
        assert_eq!(errors, usize::from(is_ours && new.error.is_some()), "{number}");
    }
    let followers: Vec<_> = stored[RUNS..].iter().map(|job| job.worker.clone()).collect();
    let expected = (0..RUNS).filter(|number| number % 6 == 0 && number % 5 != 4);
    assert_eq!(followers, expected.map(|number| format!("w{number}")).collect::<Vec<_>>());
}
