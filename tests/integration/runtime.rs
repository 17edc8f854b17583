//! From claimed to settled, with runners that need no process: what becomes of the row, the ledger,
//! the errors and the follow-on jobs in every case.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::clock::Clock;
use claude_jobs::engine::Filter;
use claude_jobs::notice::Notice;
use claude_jobs::options::ArgMap;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use serde_json::json;
use sqlx::Executor;
use tokio::sync::oneshot;

use crate::workers::{Obedient, Place, Plain, answering, success, until_stopped};

const SOON: Duration = Duration::from_secs(20);

fn answer(text: &'static str) -> impl claude_jobs::claude::Claude + 'static {
    move |_: Request| async move { Ok::<_, RunnerError>(success(text)) }
}

#[tokio::test]
async fn a_success_completes_and_leaves_its_ledger_row() {
    let place = Place::new().await;
    let job = Obedient::new("complete".into()).insert(&place.queue).await.expect("valid");
    place.drain(answer("done")).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.attempt, details.job.reason), (State::Completed, 1, None));
    assert_eq!(details.job.meta["seen"], json!(1), "the handler's note");
    assert!(details.job.finished_at.is_some() && details.job.node.is_none() && details.errors.is_empty());
    let [run] = &details.runs[..] else { panic!("{:?}", details.runs) };
    assert_eq!(
        (run.outcome.as_str(), run.verdict.as_str(), run.ending.as_str()),
        ("success", "complete", "exit 0")
    );
    assert_eq!((run.result.as_deref(), run.cost_usd, run.turns), (Some("done"), Some(0.25), Some(1)));
    assert_eq!(run.tokens.map(|tokens| (tokens.input, tokens.output)), Some((3, 4)));
}

/// Recorded scenario, and the state, reason, counted attempts and follow-up of the job.
#[tokio::test]
async fn each_failure_ends_where_the_table_says() {
    let table = [
        ("overloaded", State::Retryable, "overloaded: API Error: 529", 1),
        ("rate_limit", State::Retryable, "rate_limit: ", 1),
        ("usage_limit", State::Scheduled, "usage_limit: ", 0),
        ("invalid_key", State::Cancelled, "authentication: Invalid API key", 1),
        ("max_turns", State::Cancelled, "max_turns: Reached maximum number of turns (2)", 1),
        ("max_budget", State::Cancelled, "max_budget: ", 1),
        ("unknown_model", State::Cancelled, "model_not_found: ", 1),
        ("unknown_flag", State::Cancelled, "invalid_option: error: unknown option", 1),
        ("bypass_as_root", State::Cancelled, "dangerous_mode_refused: ", 1),
        ("worktree_outside_git", State::Cancelled, "not_a_git_repository: ", 1),
        ("sigkill_waiting", State::Retryable, "killed: ", 1),
        ("empty_completion", State::Retryable, "empty_answer: ", 1),
        ("slash_builtin", State::Cancelled, "no_turn: ", 1),
    ];
    for (scenario, state, reason, counted) in table {
        let place = Place::new().await;
        let job = Plain::new("x").insert(&place.queue).await.expect("valid");
        let (claude, runs) = answering(scenario);
        place.drain(claude).await;
        let job = place.queue.details(job.id()).await.expect("there");
        assert_eq!(job.job.state, state, "{scenario}");
        assert!(
            job.job.reason.as_deref().is_some_and(|text| text.starts_with(reason)),
            "{:?}",
            job.job.reason
        );
        assert_eq!(job.job.counted_attempts(), counted, "{scenario}");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{scenario}");
        assert_eq!((job.runs.len(), job.errors.len()), (1, 1), "{scenario}");
    }
}

#[tokio::test]
async fn retries_back_off_and_end_discarded() {
    let place = Place::new().await;
    let clock = Clock::manual(jiff::Timestamp::now());
    let queue = place.queue.clone().with_clock(clock.clone());
    let place = Place { queue, ..place };
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    for attempt in 1..=3 {
        let (claude, runs) = answering("overloaded");
        place.drain(claude).await;
        assert_eq!(runs.load(Ordering::SeqCst), 1, "attempt {attempt}");
        clock.advance(Duration::from_secs(13));
        place.drain(answering("success").0).await;
        assert_eq!(place.job(&job).await.attempt, attempt, "not before its time");
        clock.advance(Duration::from_secs(60));
    }
    let job = place.job(&job).await;
    assert_eq!((job.state, job.attempts_left()), (State::Discarded, 0));
}

#[tokio::test]
async fn timeouts_snooze_three_times_and_then_count() {
    let place = Place::new().await;
    let clock = Clock::manual(jiff::Timestamp::now());
    let place = Place { queue: place.queue.clone().with_clock(clock.clone()), ..place };
    let job = Plain::new("x").max_attempts(1).timeout(Duration::from_millis(20)).insert(&place.queue).await;
    let job = job.expect("valid");
    for snoozes in 1..=3 {
        place.drain(until_stopped).await;
        let now = place.job(&job).await;
        assert_eq!((now.state, now.snoozes, now.counted_attempts()), (State::Scheduled, snoozes, 0));
        clock.advance(Duration::from_secs(31));
    }
    place.drain(until_stopped).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.attempt), (State::Discarded, 4));
    assert!(details.runs.iter().all(|run| run.outcome == "timeout" && run.cost_usd.is_none()));
    let sessions: std::collections::HashSet<_> = details.runs.iter().map(|run| &run.session_id).collect();
    assert_eq!(sessions.len(), 4, "each its own, none lost");
}

#[tokio::test]
async fn a_usage_limit_stops_claims_until_its_reset_but_for_a_week_at_most() {
    let place = Place::new().await;
    let clock = Clock::manual(jiff::Timestamp::now());
    let place = Place { queue: place.queue.clone().with_clock(clock.clone()), ..place };
    let limited = Plain::new("x").priority(0).insert(&place.queue).await.expect("valid");
    let waits = Plain::new("y").priority(9).insert(&place.queue).await.expect("valid");
    let (claude, runs) = answering("usage_limit");
    Runtime::builder(place.queue.clone()).queue("tests", 1).claude(claude).drain().await.expect("it drains");
    assert_eq!(runs.load(Ordering::SeqCst), 1, "no stampede");
    assert_eq!(place.job(&waits).await.state, State::Available);
    let blocked = place.queue.blocked().await.expect("a read");
    let until = blocked[0].until.expect("it is known");
    // The recorded reset is in 2100.
    let week = jiff::Timestamp::from_second(clock.now().as_second() + 7 * 86_400).expect("a moment");
    assert!(until > week && until.as_second() < week.as_second() + 120, "{blocked:?}");
    assert_eq!((place.job(&limited).await.scheduled_at, place.job(&limited).await.snoozes), (until, 0));

    place.queue.resume("tests").await.expect("an operator may");
    place.drain(answering("success").0).await;
    assert_eq!(place.job(&waits).await.state, State::Completed);
}

#[tokio::test]
async fn the_handler_has_the_last_word() {
    let table = [
        ("follow", "success", State::Completed, None),
        ("cancel", "success", State::Cancelled, Some("as ordered")),
        ("retry", "success", State::Retryable, Some("as ordered")),
        ("forgive", "overloaded", State::Completed, None),
        ("explain", "overloaded", State::Cancelled, Some("overloaded after retry")),
        ("fail", "success", State::Retryable, Some("handler: as ordered")),
        ("panic", "success", State::Retryable, Some("handler: it panicked: as ordered")),
        (
            "follow badly",
            "success",
            State::Cancelled,
            Some("invalid follow-on job: invalid args: `max_turns`"),
        ),
    ];
    for (order, scenario, state, reason) in table {
        let place = Place::new().await;
        let job = Obedient::new(order.to_owned()).insert(&place.queue).await.expect("valid");
        let (claude, runs) = answering(scenario);
        Runtime::builder(place.queue.clone())
            .queue("tests", 1)
            .claude(claude)
            .drain()
            .await
            .expect("it drains");
        let details = place.queue.details(job.id()).await.expect("there");
        assert_eq!(details.job.state, state, "{order}");
        match (reason, &details.job.reason) {
            (None, None) => {}
            (Some(expected), Some(got)) => assert!(got.starts_with(expected), "{order}: {got}"),
            other => panic!("{order}: {other:?}"),
        }
        assert_eq!(details.runs.len(), 1, "{order}: the paid run is in the ledger");
        let jobs = place.queue.list(&Filter::default()).await.expect("a read");
        let expected = if order == "follow" { (2, 2) } else { (1, 1) };
        assert_eq!((jobs.len(), runs.load(Ordering::SeqCst)), expected, "{order}");
    }
}

/// While a run goes on, another node takes the job over: the old run writes nothing at all.
#[tokio::test]
async fn a_superseded_run_settles_nothing() {
    let place = Place::new().await;
    let job = Obedient::new("follow".into()).insert(&place.queue).await.expect("valid");
    let url = place.url();
    let claude = move |_: Request| {
        let url = url.clone();
        async move {
            use sqlx::Connection;
            let mut connection = sqlx::SqliteConnection::connect(&url).await?;
            connection.execute("UPDATE claude_jobs SET attempt = attempt + 1, node = 'another'").await?;
            Ok::<_, RunnerError>(success("late"))
        }
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let (sender, ended) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let heard = Arc::clone(&told);
    let running = Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .claude(claude)
        .on_notice(move |notice| {
            if let Notice::Settled { is_ours, .. } = notice {
                heard.lock().expect("no panic").push(*is_ours);
                if let Some(sender) = sender.lock().expect("no panic").take() {
                    let _ = sender.send(());
                }
            }
        })
        .run_until(async { ended.await.expect("it settles") });
    tokio::time::timeout(SOON, running).await.expect("in time").expect("it runs");
    assert_eq!(*told.lock().expect("no panic"), [false]);
    let details = place.queue.details(job.id()).await.expect("there");
    assert!(details.runs.is_empty() && details.errors.is_empty() && details.job.meta.is_empty());
    assert_eq!(place.queue.list(&Filter::default()).await.expect("a read").len(), 1, "no follow-on");
}

#[tokio::test]
async fn a_running_job_can_be_cancelled() {
    let place = Place::new().await;
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    let queue = place.queue.clone();
    let (end, ended) = oneshot::channel::<()>();
    let runtime = tokio::spawn(
        Runtime::builder(place.queue.clone())
            .queue("tests", 1)
            .claude(until_stopped)
            .run_until(async { ended.await.unwrap_or_default() }),
    );
    wait_for(&place, &job, State::Executing).await;
    queue.cancel(job.id()).await.expect("it runs");
    wait_for(&place, &job, State::Cancelled).await;
    let details = queue.details(job.id()).await.expect("there");
    assert_eq!(details.job.reason.as_deref(), Some("cancelled on request"));
    assert_eq!(details.runs[0].ending, "stopped: cancel");
    end.send(()).expect("the runtime waits for it");
    runtime.await.expect("no panic").expect("it runs");
}

#[tokio::test]
async fn a_shutdown_gives_jobs_back_with_their_attempt() {
    let place = Place::new().await;
    let job = Plain::new("x").max_attempts(1).insert(&place.queue).await.expect("valid");
    let (end, ended) = oneshot::channel::<()>();
    let runtime = tokio::spawn(
        Runtime::builder(place.queue.clone())
            .queue("tests", 1)
            .grace(Duration::from_millis(50))
            .claude(until_stopped)
            .run_until(async { ended.await.unwrap_or_default() }),
    );
    wait_for(&place, &job, State::Executing).await;
    end.send(()).expect("the runtime waits for it");
    tokio::time::timeout(SOON, runtime).await.expect("in time").expect("no panic").expect("it runs");
    let back = place.job(&job).await;
    assert_eq!((back.state, back.counted_attempts(), back.attempts_left()), (State::Available, 0, 1));
    place.drain(answer("at last")).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!(details.job.state, State::Completed);
    assert_eq!(
        details.runs.iter().map(|run| run.verdict.as_str()).collect::<Vec<_>>(),
        ["give back", "complete"]
    );
}

#[tokio::test]
async fn an_insert_starts_at_once_in_the_same_process() {
    let place = Place::new().await;
    let (end, ended) = oneshot::channel::<()>();
    let runtime = tokio::spawn(
        Runtime::builder(place.queue.clone())
            .queue("tests", 1)
            .claude(answer("done"))
            .run_until(async { ended.await.unwrap_or_default() }),
    );
    // Longer than the poll of other processes' writes takes, so that only the wake-up can be in time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let job = Plain::new("x").insert(&place.queue).await.expect("valid");
        wait_for(&place, &job, State::Completed).await;
        let run = &place.queue.details(job.id()).await.expect("there").runs[0];
        let waited = run.started_at.duration_since(job.job.inserted_at);
        slowest = slowest.max(waited.try_into().unwrap_or_default());
    }
    assert!(slowest < Duration::from_millis(90), "{slowest:?}");
    end.send(()).expect("the runtime waits for it");
    runtime.await.expect("no panic").expect("it runs");
}

#[tokio::test]
async fn the_layers_are_merged_in_order() {
    let place = Place::new().await;
    Pinned::new("x").model("opus").permission_mode("auto").insert(&place.queue).await.expect("valid");
    let seen = Arc::new(Mutex::new(None));
    let seen_by_runner = Arc::clone(&seen);
    let claude = move |request: Request| {
        *seen_by_runner.lock().expect("no panic") = Some(request.options.to_json());
        async { Ok::<_, RunnerError>(success("done")) }
    };
    Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .args(ArgMap::new().model("haiku").effort("low").max_turns(1))
        .claude(claude)
        .drain()
        .await
        .expect("it drains");
    let seen = serde_json::to_value(seen.lock().expect("no panic").take()).expect("JSON");
    let expected = json!({
        "prompt": "x", "effort": "low", "max_turns": 40, "model": "opus", "permission_mode": "plan",
    });
    assert_eq!(seen, expected);
}

const ASKING: claude_jobs::Args = claude_jobs::args! { permission_mode = "default" };

/// Each layer sets something that another one overrides.
#[claude_jobs::claude_worker(
    queue = "tests",
    args = { model = "sonnet", max_turns = 40, ..ASKING },
    pinned_args = { permission_mode = "plan" },
)]
struct Pinned;

#[tokio::test]
async fn a_paused_or_rescaled_queue_obeys() {
    let place = Place::new().await;
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    place.queue.pause("tests").await.expect("a write");
    place.drain(answer("done")).await;
    assert_eq!(place.job(&job).await.state, State::Available);
    place.queue.resume("tests").await.expect("a write");

    for _ in 0..5 {
        Plain::new("x").insert(&place.queue).await.expect("valid");
    }
    place.queue.scale("tests", Some(2)).await.expect("a write");
    let running = Arc::new(Mutex::new((0, 0)));
    let counter = Arc::clone(&running);
    let claude = move |_: Request| {
        let counter = Arc::clone(&counter);
        async move {
            let change = |by: i32| {
                let mut running = counter.lock().expect("no panic");
                running.0 += by;
                running.1 = running.1.max(running.0);
            };
            change(1);
            tokio::time::sleep(Duration::from_millis(20)).await;
            change(-1);
            Ok::<_, RunnerError>(success("done"))
        }
    };
    place.drain(claude).await;
    assert_eq!(running.lock().expect("no panic").1, 2, "the runtime asked for 4");
}

#[tokio::test]
async fn jobs_start_by_priority_and_age() {
    let place = Place::new().await;
    for (prompt, priority) in [("c", 5), ("a", 0), ("d", 5), ("b", 0)] {
        Plain::new(prompt).priority(priority).insert(&place.queue).await.expect("valid");
    }
    let order = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&order);
    let claude = move |request: Request| {
        seen.lock().expect("no panic").push_str(request.prompt());
        async { Ok::<_, RunnerError>(success("done")) }
    };
    Runtime::builder(place.queue.clone()).queue("tests", 1).claude(claude).drain().await.expect("it drains");
    assert_eq!(*order.lock().expect("no panic"), "abcd");
}

#[tokio::test]
async fn an_unclassified_error_of_a_runner_is_never_re_run() {
    let place = Place::new().await;
    let job = Plain::new("x").insert(&place.queue).await.expect("valid");
    place.drain(|_: Request| async { Err::<Report, RunnerError>("it broke".into()) }).await;
    let job = place.job(&job).await;
    assert_eq!((job.state, job.reason.as_deref()), (State::Cancelled, Some("runner: it broke")));
}

#[tokio::test]
async fn a_runtime_that_cannot_work_says_so() {
    let place = Place::new().await;
    let builder = || Runtime::builder(place.queue.clone());
    let cases = [
        (builder().drain().await, "serves no queue"),
        (builder().queue("tests", 0).drain().await, "concurrency of 0"),
        (builder().queue("tests", 1).queue("tests", 2).drain().await, "configured twice"),
        (builder().queue("a b", 1).drain().await, "queue name `a b`: give 1 to 128 characters"),
        (builder().queue("tests", 1).args(ArgMap::new().max_turns(0)).drain().await, "`max_turns`"),
    ];
    for (result, expected) in cases {
        let error = result.expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected} not in {error}");
    }
}

/// A job's follow-on goes to another queue of the same runtime, and another program keeps the database
/// locked, so that the claim of it takes a while: its own follow-on must not be left behind.
#[tokio::test]
async fn a_drain_does_not_end_before_follow_ons_in_other_queues() {
    let place = Place::new().await;
    Obedient::new("follow elsewhere".into()).insert(&place.queue).await.expect("valid");
    let url = place.url();
    let lock_once = std::sync::Once::new();
    let on_settled = move |notice: &Notice<'_>| {
        if let Notice::Settled { .. } = notice {
            lock_once.call_once(|| lock_for(Duration::from_millis(500), url.clone()));
        }
    };
    Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .queue("elsewhere", 1)
        .claude(answer("done"))
        .on_notice(on_settled)
        .drain()
        .await
        .expect("it drains");
    let jobs = place.queue.list(&Filter::default()).await.expect("a read");
    let states: Vec<_> = jobs.iter().map(|job| job.state).collect();
    assert_eq!(states, [State::Completed; 3]);
}

/// Returns when the database is locked, and lets go of it after a while.
fn lock_for(time: Duration, url: String) {
    let (locked, is_locked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            use sqlx::Connection;
            let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the file");
            connection.execute("BEGIN IMMEDIATE").await.expect("the lock");
            locked.send(()).expect("somebody waits");
            tokio::time::sleep(time).await;
            connection.execute("COMMIT").await.expect("an empty transaction");
        });
    });
    is_locked.recv().expect("it is locked");
}

async fn wait_for(place: &Place, job: &claude_jobs::Inserted, state: State) {
    let deadline = std::time::Instant::now() + SOON;
    while place.job(job).await.state != state {
        assert!(std::time::Instant::now() < deadline, "the job never was {state}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
