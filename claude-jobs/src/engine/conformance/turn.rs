//! Settlement and claim at once.

use std::time::Duration;

use serde_json::{Map, json};

use super::Database;
use super::fixture::{
    HOST, NODE, OTHER, QUEUE, after, all_jobs, ask, at, claim, claim_one, continuing, due, end, end_with_all,
    failure, fields, ids, insert, insert_all, insert_each, job, keyed, new, open, run_row, running, settle,
    state, unique, written,
};
use super::random::Random;
use crate::engine::{ClaimRequest, Engine, Limits, Turn};
use crate::job::{Continuation, Job, JobRow, RunRow, State};
use crate::settlement::Settlement;

/// Both answers come in one, each in its own order.
pub async fn settles_and_claims(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let jobs =
        insert_all(&*engine, &[new(at(0)), new(at(0)), new(at(0)), due(at(0), at(1)), due(at(0), at(9))])
            .await;
    let runs = claim(&*engine, &ask(2, at(0))).await;
    let stale = Settlement { attempt: 7, ..end_with_all(&runs[1], State::Completed, at(1)) };
    let batch = [stale, end(&runs[0], State::Completed, at(1)), end(&runs[1], State::Discarded, at(1))];
    let turn = engine.turn(&batch, Some(&ask(5, at(1))), at(1)).await.expect("a turn");
    assert_eq!(written(&turn.settled), [false, true, true]);
    assert_eq!(ids(&turn.claimed.jobs), [jobs[2].id, jobs[3].id]);
    assert_eq!(turn.claimed.next_due, Some(at(9)));
    assert_eq!(turn.claimed.settings.name, QUEUE);
    let states: Vec<_> = all_jobs(&*other).await.iter().map(|job| job.state).collect();
    let expected = [State::Completed, State::Discarded, State::Executing, State::Executing, State::Scheduled];
    assert_eq!(states, expected, "nothing of the stale one");
}

/// The commonest turn: jobs that complete, and others that take their places. Each run is written once and whole,
/// nothing of one that was superseded.
pub async fn completes_and_claims(database: &dyn Database) {
    let (engine, other) = (open(database).await, database.connect().await);
    let kept = unique("kept", None, &State::ALL, at(0));
    let waits_or_runs: Vec<_> = State::ALL.into_iter().filter(|state| !state.is_final()).collect();
    let freed = unique("freed", None, &waits_or_runs, at(0));
    let jobs = insert_all(&*engine, &[kept.clone(), freed.clone(), new(at(0)), new(at(0))]).await;
    let back = claim_one(&*engine, at(0)).await;
    let back = Settlement {
        scheduled_at: at(0),
        continuation: continuing("s", None),
        reason: Some("why".to_owned()),
        ..end(&back, State::Available, at(1))
    };
    assert!(settle(&*engine, back, at(1)).await);
    let runs = claim(&*engine, &ask(4, at(1))).await;
    assert_eq!(ids(&runs), ids(&jobs), "the first has run before");
    engine.cancel(runs[1].id, at(1)).await.expect("it runs");
    let next = insert(&*engine, new(at(2))).await;
    let ends = |run: &Job| {
        let ledger = RunRow {
            cost_usd: Some(0.25),
            turns: Some(3),
            session_id: Some(format!("of {}", run.id)),
            ..run_row(run, at(3))
        };
        Settlement { scheduled_at: run.scheduled_at, run: ledger, ..end(run, State::Completed, at(3)) }
    };
    let stale = Settlement { attempt: 9, ..ends(&runs[3]) };
    let batch = [ends(&runs[2]), stale, ends(&runs[0]), ends(&runs[2]), ends(&runs[1])];
    let turn = engine.turn(&batch, Some(&ask(5, at(3))), at(3)).await.expect("a turn");
    assert_eq!(written(&turn.settled), [true, false, true, false, true]);
    assert_eq!(ids(&turn.claimed.jobs), [next.id]);
    for run in &runs[..3] {
        let finished_at = Some(at(3));
        let expected = Job {
            state: State::Completed,
            finished_at,
            node: None,
            reason: None,
            continuation: Continuation::default(),
            ..run.clone()
        };
        assert_eq!(fields(&job(&*other, run.id).await), fields(&expected));
        let ledger = other.runs(run.id).await.expect("a read");
        assert_eq!(fields(&ledger.last()), fields(&Some(ends(run).run)));
    }
    assert_eq!(fields(&job(&*other, runs[3].id).await), fields(&runs[3]), "nothing of the stale one");
    let taken: Vec<_> = insert_each(&*engine, &[kept, freed]).await.iter().map(|new| new.duplicate).collect();
    assert_eq!(taken, [true, false], "a unique key is held for as long as its states say");
    // All of a batch at the end of a queue; what was written before is not written again. A job may be over a moment
    // after its run.
    let later = Settlement { finished_at: Some(at(4)), ..ends(&turn.claimed.jobs[0]) };
    let last = [later.clone(), ends(&runs[0]), ends(&runs[3])];
    let turn = engine.turn(&last, Some(&ClaimRequest { queue: "empty", ..ask(5, at(3)) }), at(3)).await;
    let Turn { settled, claimed } = turn.expect("a turn");
    assert_eq!((written(&settled), claimed.jobs.len()), (vec![true; 3], 0));
    assert_eq!(engine.runs(runs[0].id).await.expect("a read").len(), 2);
    let stored = job(&*other, later.id).await;
    assert_eq!(
        (stored.finished_at, other.runs(later.id).await.expect("a read")[0].finished_at),
        (Some(at(4)), at(3))
    );
}

/// A job that is done may leave more to be said: whatever it is, it is written in a turn that claims, too.
pub async fn completes_with_more(database: &dyn Database) {
    let engine = open(database).await;
    let plain = |run: &Job| end(run, State::Completed, at(1));
    type Says = fn(Settlement) -> Settlement;
    let all: [(&str, Says); 6] = [
        ("reason", |new| Settlement { reason: Some("why".to_owned()), ..new }),
        ("uncounted", |new| Settlement { uncounted: 1, ..new }),
        ("snoozed", |new| Settlement { snoozed: true, ..new }),
        ("notes", |new| Settlement { meta: Some(Map::from_iter([("a".to_owned(), 1.into())])), ..new }),
        ("session", |new| Settlement { continuation: continuing("session", Some(HOST)), ..new }),
        ("end", |new| Settlement { finished_at: Some(at(2)), scheduled_at: at(3), ..new }),
    ];
    for (what, says) in all {
        let run = running(&*engine, new(at(0))).await;
        let next = insert(&*engine, new(at(1))).await;
        let ends = says(plain(&run));
        let turn =
            engine.turn(std::slice::from_ref(&ends), Some(&ask(5, at(1))), at(1)).await.expect("a turn");
        assert_eq!((written(&turn.settled), ids(&turn.claimed.jobs)), (vec![true], vec![next.id]), "{what}");
        assert_eq!(fields(&job(&*engine, run.id).await), fields(&after(&run, &ends)), "{what}");
        let failed =
            Settlement { error: Some(failure(&turn.claimed.jobs[0], at(1))), ..plain(&turn.claimed.jobs[0]) };
        let turn = engine.turn(&[failed], Some(&ask(5, at(1))), at(1)).await.expect("a turn");
        assert_eq!(written(&turn.settled), [true]);
        assert_eq!(engine.errors(next.id).await.expect("a read").len(), 1);
    }
}

/// Nothing to do is nothing done.
pub async fn nothing(database: &dyn Database) {
    let engine = open(database).await;
    insert(&*engine, new(at(0))).await;
    let turn = engine.turn(&[], None, at(0)).await.expect("a turn");
    assert!(turn.settled.is_empty() && turn.claimed.jobs.is_empty());
    assert_eq!(state(&*engine, all_jobs(&*engine).await[0].id).await, State::Available);
}

/// A claim that may not be keeps no settlement from being written.
pub async fn settles_whatever_the_claim(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 9]).await;
    let runs = claim(&*engine, &ask(4, at(0))).await;
    let requests = [
        ClaimRequest { node: "unknown", ..ask(5, at(1)) },
        ClaimRequest { workers: &[], ..ask(5, at(1)) },
        ClaimRequest { running: 5, ..ask(5, at(1)) },
        ClaimRequest { queue: "empty", ..ask(5, at(1)) },
    ];
    for (run, request) in runs.iter().zip(&requests) {
        let batch = [end(run, State::Completed, at(1))];
        let turn = engine.turn(&batch, Some(request), at(1)).await.expect("a turn");
        assert_eq!((written(&turn.settled), turn.claimed.jobs.len()), (vec![true], 0), "{request:?}");
        assert_eq!(state(&*engine, run.id).await, State::Completed);
    }
}

/// What a settlement makes claimable is claimed in the same turn or the next.
pub async fn what_is_given_back(database: &dyn Database) {
    let engine = open(database).await;
    for target in [State::Available, State::Scheduled, State::Retryable] {
        let run = running(&*engine, new(at(0))).await;
        let batch = [end(&run, target, at(1))];
        let next = in_two_turns(&*engine, &batch, &ask(3, at(1))).await;
        assert_eq!((ids(&next), next[0].attempt), (vec![run.id], 2), "{target}");
        assert!(settle(&*engine, end(&next[0], State::Completed, at(2)), at(2)).await);
    }
}

/// So are follow-on jobs.
pub async fn follow_ons(database: &dyn Database) {
    let engine = open(database).await;
    let run = running(&*engine, new(at(0))).await;
    let batch =
        [Settlement { follow_ons: vec![new(at(1)), new(at(1))], ..end(&run, State::Completed, at(1)) }];
    assert_eq!(in_two_turns(&*engine, &batch, &ask(3, at(1))).await.len(), 2);
}

/// So is what waits for the place of a run that ends, globally and of its key; and never more than that.
pub async fn places_that_become_free(database: &dyn Database) {
    let engine = open(database).await;
    let keyed = || JobRow { queue: "keyed".to_owned(), ..keyed("a", at(0)) };
    insert_all(&*engine, &vec![new(at(0)); 9]).await;
    insert_all(&*engine, &vec![keyed(); 9]).await;
    let global = ClaimRequest { limits: Limits::local(9).global(3), ..ask(1, at(0)) };
    let per_key = ClaimRequest { queue: "keyed", limits: Limits::local(9).per_key(3), ..ask(1, at(0)) };
    for request in [global, per_key] {
        let runs = claim(&*engine, &request).await;
        assert_eq!(runs.len(), 3);
        // One goes back to waiting: its place is free all the same.
        let waits = Settlement { scheduled_at: at(900), ..end(&runs[1], State::Retryable, at(1)) };
        let batch = [end(&runs[0], State::Completed, at(1)), waits];
        assert_eq!(in_two_turns(&*engine, &batch, &request).await.len(), 2, "{request:?}");
        assert!(claim(&*engine, &ClaimRequest { node: OTHER, ..request }).await.is_empty());
    }
}

/// A rate counts the starts of turns as all others.
pub async fn rate(database: &dyn Database) {
    let engine = open(database).await;
    insert_all(&*engine, &vec![new(at(0)); 9]).await;
    let limits = Limits::local(2).rate(5, Duration::from_secs(60));
    let request = ClaimRequest { limits, ..ask(1, at(0)) };
    let mut runs = claim(&*engine, &request).await;
    let mut starts = runs.len();
    for _ in 0..5 {
        let batch: Vec<_> = runs.iter().map(|run| end(run, State::Completed, at(0))).collect();
        runs = engine.turn(&batch, Some(&request), at(0)).await.expect("a turn").claimed.jobs;
        starts += runs.len();
    }
    assert_eq!(starts, 5);
}

/// An answer is lost on its way: a turn does not say that it went well when something was claimed that it does not
/// name, and may be taken again whatever came of it.
pub async fn an_answer_is_lost(database: &dyn Database) {
    let engine = open(database).await;
    let follow_on = JobRow { queue: "next".to_owned(), ..new(at(0)) };
    type Ends = fn(&Job) -> Settlement;
    let ways: [(&str, Ends); 3] = [
        ("completes", |run| end(run, State::Completed, at(1))),
        ("waits", |run| Settlement { scheduled_at: at(900), ..end(run, State::Retryable, at(1)) }),
        ("fails", |run| Settlement { error: Some(failure(run, at(1))), ..end(run, State::Discarded, at(1)) }),
    ];
    let (mut lost, mut all) = (0, 0);
    for (way, after) in ways.into_iter().flat_map(|way| (0..4).map(move |after| (way, after))) {
        for (has_key, has_more) in [(false, false), (true, false), (false, true)] {
            let (name, ends) = way;
            let what = format!("{name}, {after} answers pass, key: {has_key}, follow-on: {has_more}");
            let run = running(&*engine, new(at(0))).await;
            let row = if has_key { keyed("key", at(0)) } else { new(at(0)) };
            let next = insert(&*engine, JobRow { input: json!({ "is": "needle" }), ..row }).await;
            let Some(losing) = database.connect_losing(b"needle", after).await else { return };
            let follow_ons = if has_more { vec![follow_on.clone()] } else { Vec::new() };
            let batch = [Settlement { follow_ons, ..ends(&run) }];
            let turn = losing.turn(&batch, Some(&ask(1, at(1))), at(1)).await;
            (lost, all) = (lost + usize::from(turn.is_err()), all + 1);
            if let Ok(turn) = turn {
                assert_eq!(written(&turn.settled), [true], "{what}");
                assert_eq!(ids(&held(&*engine).await), ids(&turn.claimed.jobs), "{what}");
            }
            assert_eq!(written(&engine.settle(&batch, at(1)).await.expect("a settlement")), [true], "{what}");
            assert_eq!(engine.runs(run.id).await.expect("a read").len(), 1, "{what}");
            for job in held(&*engine).await {
                assert!(settle(&*engine, end(&job, State::Completed, at(2)), at(2)).await);
            }
            for id in [run.id, next.id] {
                // It may be over.
                let _ = engine.cancel(id, at(2)).await;
            }
        }
    }
    assert!(lost >= 9 && lost < all, "{lost} of {all} answers were lost");
    let followers = all_jobs(&*engine).await.iter().filter(|job| job.queue == "next").count();
    assert_eq!(followers, all / 3, "each once");
}

/// Whoever waits for a turn may stop at any moment. Its transaction does not outlive it for long, and whatever of it is
/// carried out is so as a whole, and can be found.
pub async fn given_up_in_the_middle(database: &dyn Database) {
    const ROUNDS: i64 = 150;
    let (engine, other) = (open(database).await, database.connect().await);
    let mut random = Random::new();
    let mut given_up = 0;
    for round in 0..ROUNDS {
        let row = if random.once_in(3) { keyed("key", at(round)) } else { new(at(round)) };
        let inserted = tokio::time::timeout(Duration::from_secs(30), insert(&*other, row)).await;
        inserted.expect("nobody holds a lock");
        let mut batch = Vec::new();
        for run in held(&*other).await {
            let error = random.once_in(3).then(|| failure(&run, at(round)));
            batch.push(Settlement { error, ..end(&run, State::Completed, at(round)) });
        }
        let request = ask(3, at(round));
        // Some take moments, some milliseconds.
        let (moments, milliseconds) = (random.below(100), random.below(16) as u64);
        let patience = async {
            if round % 2 == 0 {
                return tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
            for _ in 0..moments {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            turn = engine.turn(&batch, Some(&request), at(round)) => { turn.expect("a turn"); }
            () = patience => given_up += 1,
        }
    }
    assert!(given_up > 0, "some were given up");
    claim(&*engine, &ask(1, at(ROUNDS))).await;
    // What was given up may be carried out a little later.
    let is_over = async || all_jobs(&*other).await.iter().all(|job| job.state == State::Completed);
    while !is_over().await {
        claim(&*other, &ask(200, at(ROUNDS))).await;
        for run in held(&*other).await {
            settle(&*other, end(&run, State::Completed, at(ROUNDS)), at(ROUNDS)).await;
        }
    }
    for job in all_jobs(&*other).await {
        assert_eq!((job.attempt, other.runs(job.id).await.expect("a read").len()), (1, 1), "{job:?}");
    }
}

async fn held(engine: &dyn Engine) -> Vec<Job> {
    engine.held(NODE, QUEUE).await.expect("a read")
}

/// Turns against each other on two connections: every job ends once, in as many turns as it takes.
pub async fn under_races(database: &dyn Database) {
    const JOBS: usize = 2_000;
    let engines = [open(database).await, database.connect().await];
    insert_all(&*engines[0], &vec![new(at(0)); JOBS]).await;
    let done = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let (engine, done) = (engines[task % 2].clone(), done.clone());
        tasks.spawn(async move {
            let node = [NODE, OTHER][task % 2];
            let request = ClaimRequest { node, ..ask(1 + 20 * task as u32, at(0)) };
            let mut runs: Vec<Job> = Vec::new();
            while done.load(std::sync::atomic::Ordering::SeqCst) < JOBS {
                let batch: Vec<_> = runs.iter().map(|run| end(run, State::Completed, at(1))).collect();
                let turn = engine.turn(&batch, Some(&request), at(1)).await.expect("a turn");
                assert!(turn.settled.iter().all(|settled| settled.is_written()));
                done.fetch_add(batch.len(), std::sync::atomic::Ordering::SeqCst);
                runs = turn.claimed.jobs;
            }
            assert!(runs.is_empty(), "nothing is left to claim");
        });
    }
    tasks.join_all().await;
    let jobs = all_jobs(&*engines[0]).await;
    assert!(jobs.iter().all(|job| job.state == State::Completed && job.attempt == 1));
}

/// What is claimed in the turn that settles and in the next one.
async fn in_two_turns(engine: &dyn Engine, batch: &[Settlement], request: &ClaimRequest<'_>) -> Vec<Job> {
    let turn = engine.turn(batch, Some(request), request.now).await.expect("a turn");
    assert!(turn.settled.iter().all(|settled| settled.is_written()));
    let mut jobs = turn.claimed.jobs;
    let running = jobs.len() as u32;
    jobs.extend(claim(engine, &ClaimRequest { running, ..request.clone() }).await);
    jobs
}
