//! Jobs whose node died while it ran them: what each policy makes of them, how a session is continued, and
//! who does not touch them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_jobs::Inserted;
use claude_jobs::claude::{Claude, ClaudeCli, Request, RunnerError};
use claude_jobs::outcome::{Ending, Report, StopReason};
use claude_jobs::prelude::*;
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::Sandbox;
use claude_jobs_tests::script::{Step, Take};
use serde_json::json;

use crate::workers::{Obedient, On, Place, Plain, recorded, success, until_stopped};

/// As every worker that says nothing else.
#[claude_worker(queue = "tests")]
struct Resumed;

#[claude_worker(queue = "tests", on_lost = "retry")]
struct Repeated;

#[claude_worker(queue = "tests", on_lost = "hold")]
struct Held;

#[claude_worker(queue = "tests", on_lost = "cancel")]
struct Dropped;

/// Its only attempt is not continued for nothing.
#[claude_worker(queue = "tests", max_attempts = 1, max_interruptions = 0)]
struct Impatient;

const SESSION: &str = "0199f1de-0000-7000-8000-00000000abcd";

on_each_claude! { async the_real_cli_continues_a_session_and_starts_anew_without_it }

/// The jobs are being run by a node that is no more.
async fn lose(place: &Place) {
    sqlx::query(
        "UPDATE claude_jobs SET state = 'executing', node = 'gone', attempt = attempt + 1, \
         attempted_at = inserted_at WHERE state = 'available'",
    )
    .execute(&mut place.connection().await)
    .await
    .expect("there are jobs");
}

/// A runner that answers in the session it was asked for, unless that is to be continued and is not here.
fn scripted(has_transcript: bool) -> (impl Claude + 'static, Arc<Mutex<Vec<Request>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&asked);
    let claude = move |request: Request| {
        let report = if request.options.resume.is_some() && !has_transcript {
            recorded("no_conversation")
        } else {
            let event = json!({
                "type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": "done",
                "session_id": request.pinned_session(),
                "model_usage_since_last_result": {"model": {"costUSD": 0.25, "inputTokens": 3, "outputTokens": 4}},
            });
            Report::from_events([&event], 0)
        };
        requests.lock().expect("no panic").push(request);
        async move { Ok::<_, RunnerError>(report) }
    };
    (claude, asked)
}

fn taken(requests: &Mutex<Vec<Request>>) -> Vec<Request> {
    std::mem::take(&mut requests.lock().expect("no panic"))
}

fn session_of(job: &Job) -> Option<String> {
    job.continuation.session.as_ref().map(|session| session.id.clone())
}

async fn inserted<W: Worker>(place: &Place, job: claude_jobs::JobBuilder<W>) -> Inserted {
    job.insert(&place.queue).await.expect("valid")
}

#[tokio::test]
async fn a_retried_one_runs_again_from_its_start_and_the_attempt_counts() {
    let place = Place::new().await;
    let job = inserted(&place, Repeated::new("the task")).await;
    lose(&place).await;
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.counted_attempts()), (State::Completed, 2));
    let [request] = &taken(&requests)[..] else { panic!("one run") };
    assert_eq!((request.prompt(), request.options.resume.as_deref()), ("the task", None));
    let lost = &details.runs[0];
    assert_eq!((lost.outcome.as_str(), lost.verdict.as_str(), lost.cost_usd), ("lost", "retry", None));
    assert_ne!(lost.session_id, details.runs[1].session_id);
    assert!(details.errors[0].message.contains("the node that ran it died"));
}

#[tokio::test]
async fn a_lost_session_is_continued_where_its_transcript_is() {
    let place = Place::new().await;
    let own = inserted(&place, Resumed::new("the task")).await;
    let named = inserted(&place, Resumed::new("the task").session_id(SESSION)).await;
    lose(&place).await;
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    assert_eq!(taken(&requests).len(), 2);
    for job in [own, named] {
        let details = place.queue.details(job.id()).await.expect("there");
        assert_eq!((details.job.state, details.job.counted_attempts()), (State::Completed, 1));
        assert!(details.job.continuation.session.is_none());
        let [lost, continued] = &details.runs[..] else { panic!("{:?}", details.runs) };
        assert_eq!((lost.outcome.as_str(), lost.verdict.as_str()), ("lost", "resume"));
        assert!(lost.session_id.is_some() && continued.session_id == lost.session_id, "{:?}", details.runs);
    }
}

/// A run that was cut off for its time and shall go on uncounted, whose transcript is gone by then: the one attempt that
/// the job has is used, so that it is not begun a second time.
#[tokio::test]
async fn a_session_that_is_gone_is_not_begun_anew_where_no_attempt_is_left() {
    for (most, state, begun) in [(1, State::Discarded, 1), (2, State::Completed, 2)] {
        let place = Place::new().await;
        let job = inserted(&place, Plain::new("the task").max_attempts(most)).await;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let claude = move |request: Request| {
            let mut seen = seen.lock().expect("no panic");
            let report = match (seen.is_empty(), &request.options.resume) {
                (true, _) => {
                    let mut report = success("half of it");
                    report.result = None;
                    (report.started, report.worked) = (true, true);
                    report.session_id = request.pinned_session().map(str::to_owned);
                    report.ending = Ending::Stopped(StopReason::Timeout);
                    report
                }
                (false, Some(_)) => recorded("no_conversation"),
                (false, None) => success("done"),
            };
            seen.push(request);
            async { Ok::<_, RunnerError>(report) }
        };
        place.drain(claude.clone()).await;
        let waits = place.job(&job).await;
        assert_eq!((waits.state, waits.uncounted), (State::Scheduled, 1), "{:?}", waits.reason);
        place.queue.retry(job.id()).await.expect("it waits");
        place.drain(claude).await;
        let over = place.job(&job).await;
        assert_eq!(over.state, state, "{most}: {:?}", over.reason);
        let fresh = taken(&requests).iter().filter(|request| request.options.resume.is_none()).count();
        assert_eq!(fresh, begun, "{most}");
        assert_eq!(over.reason.as_ref().is_some_and(|reason| reason.starts_with("lost: ")), most == 1);
    }
}

/// A node dies while the CLI still starts: nothing can have been asked, and so nothing is charged.
#[tokio::test]
async fn a_node_that_dies_before_claude_has_begun_costs_the_job_nothing() {
    let (place, home) = (Place::new().await, tempfile::tempdir().expect("a folder"));
    let fake = FakeClaude::new([Take::success("late").first(Step::SleepMs(60_000)), Take::success("done")]);
    let job = inserted(&place, Obedient::new("complete".to_owned()).max_attempts(1)).await;
    let mut worker = std::process::Command::new(env!("CARGO_BIN_EXE_worker"))
        .args([place.url().as_str(), fake.path().to_str().expect("UTF-8"), "12"])
        .env("HOME", home.path())
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    fake.wait_for_records(1, Duration::from_secs(30)).await;
    worker.kill().expect("it is ours");
    worker.wait().expect("it is ours");
    let claude = ClaudeCli::builder().binary(fake.path().to_str().expect("UTF-8"));
    place.drain(claude.env("HOME", home.path().to_str().expect("UTF-8")).build()).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!(
        (details.job.state, details.job.counted_attempts()),
        (State::Completed, 1),
        "{:?}",
        details.runs
    );
    assert_eq!(details.runs[0].verdict, "give back");
    assert_eq!(fake.records()[1].flag("--resume"), None);
}

/// A node of another host takes a job when none of its session's host has served its queue for long, and not before.
#[tokio::test]
async fn a_job_waits_for_its_sessions_host_for_as_long_as_it_is_told() {
    let place = Place::new().await;
    let job = inserted(&place, Resumed::new("the task")).await;
    let session = r#"UPDATE claude_jobs SET session_host = 'one', continuation = '{"session": {"id": "s", "host": "one"}}'"#;
    sqlx::query(session).execute(&mut place.connection().await).await.expect("a write");
    let (claude, requests) = scripted(false);
    let start = std::time::Instant::now();
    let within = Duration::from_secs(4);
    let is_over = async {
        while !place.job(&job).await.state.is_final() {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", place.job(&job).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(On("two", claude));
    let runtime = runtime.lease(Duration::from_secs(12)).continue_within(within);
    runtime.run_until(is_over).await.expect("it runs");
    assert!(start.elapsed() >= within, "{:?}", start.elapsed());
    assert_eq!(place.job(&job).await.state, State::Completed);
    assert_eq!(taken(&requests).len(), 2, "it was looked for here, and started anew");
}

/// A job that names its session itself, whose first attempt has begun it: the next goes on in it, where to begin it again
/// would be refused for ever.
#[tokio::test]
async fn an_attempt_goes_on_in_the_session_that_an_earlier_one_has_begun() {
    let place = Place::new().await;
    let job = inserted(&place, Plain::new("the task").session_id(SESSION)).await;
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    let claude = move |request: Request| {
        let mut seen = seen.lock().expect("no panic");
        let report = match (seen.len(), &request.options.resume) {
            (0, None) => recorded("overloaded"),
            (1, None) => recorded("session_in_use"),
            _ => success("done"),
        };
        seen.push(request);
        async { Ok::<_, RunnerError>(report) }
    };
    place.drain(claude.clone()).await;
    assert_eq!(place.job(&job).await.state, State::Retryable);
    place.queue.retry(job.id()).await.expect("it waits");
    place.drain(claude).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.runs.len()), (State::Completed, 2), "{:?}", details.job.reason);
    let [_, refused, run_on] = &taken(&requests)[..] else { panic!("three runs") };
    assert_eq!(refused.options.session_id.as_deref(), Some(SESSION));
    assert_eq!((run_on.options.resume.as_deref(), &run_on.options.session_id), (Some(SESSION), &None));
    assert!(run_on.prompt().contains("already done"));

    // One that another job has begun is not taken.
    let job = inserted(&place, Plain::new("another task").session_id(SESSION)).await;
    place.drain(|_: Request| async { Ok::<_, RunnerError>(recorded("session_in_use")) }).await;
    assert_eq!(place.job(&job).await.state, State::Cancelled);
}

/// A field whose new code cannot show what an old row holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Brittle(String);

static IS_BROKEN: AtomicBool = AtomicBool::new(false);

impl std::fmt::Display for Brittle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        assert!(!IS_BROKEN.load(Ordering::SeqCst), "it cannot be shown");
        formatter.write_str(&self.0)
    }
}

#[claude_worker(queue = "tests", prompt = "Look at {what}.")]
struct Fragile {
    what: Brittle,
}

#[tokio::test]
async fn a_job_that_cannot_be_read_without_a_panic_keeps_no_other_from_being_rescued() {
    let place = Place::new().await;
    let fragile = inserted(&place, Fragile::new(Brittle("x".into()))).await;
    let other = inserted(&place, Plain::new("x")).await;
    lose(&place).await;
    IS_BROKEN.store(true, Ordering::SeqCst);
    let (claude, _) = scripted(true);
    place.drain(claude).await;
    for job in [fragile, other] {
        let runs = place.queue.details(job.id()).await.expect("there").runs;
        assert_eq!(runs.first().map(|run| run.outcome.as_str()), Some("lost"), "{runs:?}");
    }
}

#[tokio::test]
async fn a_continuation_says_so_and_asks_not_to_repeat() {
    let place = Place::new().await;
    inserted(&place, Resumed::new("the task").session_id(SESSION)).await;
    lose(&place).await;
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    let [request] = &taken(&requests)[..] else { panic!("one run") };
    assert_eq!((request.options.resume.as_deref(), &request.options.session_id), (Some(SESSION), &None));
    assert!(request.prompt().contains("was interrupted") && request.prompt().contains("already done"));
    assert!(!request.prompt().contains("the task\n"), "the task is in the session");
}

#[tokio::test]
async fn without_its_transcript_the_same_attempt_starts_anew() {
    let place = Place::new().await;
    let job = inserted(&place, Resumed::new("the task")).await;
    lose(&place).await;
    let (claude, requests) = scripted(false);
    place.drain(claude).await;
    let [continued, anew] = &taken(&requests)[..] else { panic!("two runs") };
    assert!(continued.options.resume.is_some());
    assert_eq!((anew.prompt(), &anew.options.resume), ("the task", &None));
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.counted_attempts()), (State::Completed, 2));
    let run = &details.runs[1];
    assert_eq!((run.outcome.as_str(), run.cost_usd, run.turns), ("success", Some(0.25), Some(1)));
    assert_eq!(run.session_id.as_deref(), anew.pinned_session());
    assert_ne!(run.session_id, details.runs[0].session_id);
}

/// The same through the runner of the real command: what is on its command line and its standard input.
#[tokio::test]
async fn the_cli_is_asked_to_resume_and_then_to_start_anew() {
    let gone = Take {
        steps: vec![
            Step::Stderr(format!("No conversation found with session ID: {SESSION}\n")),
            Step::Exit(1),
        ],
        ..Take::default()
    };
    let fake = FakeClaude::new([gone, Take::success("done")]);
    let place = Place::new().await;
    let job = inserted(&place, Resumed::new("the task").session_id(SESSION).max_turns(7)).await;
    lose(&place).await;
    let claude = ClaudeCli::builder().binary(fake.path().to_str().expect("UTF-8")).build();
    place.drain(claude).await;
    assert_eq!(place.job(&job).await.state, State::Completed);
    let records = fake.records();
    let has = |record: usize, words: &[&str]| {
        records[record].argv.windows(words.len()).any(|window| window == words)
    };
    assert_eq!(records.len(), 2);
    assert!(has(0, &["--resume", SESSION]) && has(0, &["--max-turns", "7"]) && !has(0, &["--session-id"]));
    assert!(has(1, &["--session-id", SESSION]) && !has(1, &["--resume"]), "{:?}", records[1].argv);
    assert!(records[0].stdin.as_deref().is_some_and(|prompt| prompt.contains("was interrupted")));
    assert_eq!(records[1].stdin.as_deref(), Some("the task"));
}

/// The real CLI: a run whose end nobody saw has left its transcript. With it, the session goes on; without
/// it, the same attempt starts anew.
async fn the_real_cli_continues_a_session_and_starts_anew_without_it(claude: RealClaude) {
    let api = Api::start([
        Reply::text("Half of it is done."),
        Reply::text("All is done."),
        Reply::text("Done anew."),
    ]);
    let sandbox = Sandbox::new();
    let mut claude = ClaudeCli::builder().binary(claude.path().to_str().expect("UTF-8"));
    for (name, value) in sandbox.env(&api.url()) {
        claude = claude.env(name, value);
    }
    let claude = Arc::new(claude.build());
    let run = || {
        let claude = Arc::clone(&claude);
        move |request: Request| {
            let claude = Arc::clone(&claude);
            async move { claude.run(request).await }
        }
    };
    let place = Place::new().await;
    let repo = sandbox.git_repo();
    let job = Resumed::new("paint the shed").working_dir(repo.to_str().expect("UTF-8")).max_attempts(9);
    let job = inserted(&place, job).await;
    let unseen = "UPDATE claude_jobs SET state = 'executing', node = 'gone', finished_at = NULL";
    place.drain(run()).await;
    sqlx::query(unseen).execute(&mut place.connection().await).await.expect("it is there");
    place.drain(run()).await;
    let continued = place.queue.details(job.id()).await.expect("there");
    let [lost, run_on] = &continued.runs[..] else { panic!("{:#?}", continued.runs) };
    assert_eq!((run_on.outcome.as_str(), run_on.result.as_deref()), ("success", Some("All is done.")));
    assert_eq!(run_on.session_id, lost.session_id);
    assert!(run_on.cost_usd.is_some_and(|cost| cost > 0.0), "{run_on:?}");
    let resumed = &api.requests()[1];
    assert!(resumed.mentions("paint the shed") && resumed.mentions("was interrupted"));

    sqlx::query(unseen).execute(&mut place.connection().await).await.expect("it is there");
    std::fs::remove_dir_all(sandbox.home().join(".claude/projects")).expect("the transcripts are there");
    place.drain(run()).await;
    let anew = place.queue.details(job.id()).await.expect("there");
    let last = &anew.runs[2];
    assert_eq!((last.outcome.as_str(), last.result.as_deref()), ("success", Some("Done anew.")));
    assert_ne!(last.session_id, lost.session_id);
    assert!(last.cost_usd.is_some_and(|cost| cost > 0.0), "{last:?}");
}

#[tokio::test]
async fn held_and_cancelled_jobs_do_not_run_again_by_themselves() {
    let place = Place::new().await;
    let (held, dropped) = (inserted(&place, Held::new("x")).await, inserted(&place, Dropped::new("x")).await);
    lose(&place).await;
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    assert!(taken(&requests).is_empty());
    for (job, state, verdict) in [(&held, State::Discarded, "hold"), (&dropped, State::Cancelled, "cancel")] {
        let details = place.queue.details(job.id()).await.expect("there");
        assert_eq!((details.job.state, details.job.attempt), (state, 1));
        assert_eq!(details.job.reason.as_deref(), Some("lost: the node that ran it died"));
        assert!(details.job.finished_at.is_some());
        assert_eq!((details.runs[0].outcome.as_str(), details.runs[0].verdict.as_str()), ("lost", verdict));
    }
    place.queue.retry(held.id()).await.expect("an operator may");
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    let [request] = &taken(&requests)[..] else { panic!("one run") };
    assert_eq!((request.prompt(), &request.options.resume), ("x", &None));
}

#[tokio::test]
async fn the_last_attempt_is_not_repeated_but_can_be_continued_by_hand() {
    let place = Place::new().await;
    let job = inserted(&place, Impatient::new("the task")).await;
    lose(&place).await;
    place.drain(scripted(true).0).await;
    let lost = place.job(&job).await;
    assert_eq!((lost.state, lost.continuation.session.is_some()), (State::Discarded, true));
    place.queue.retry(job.id()).await.expect("an operator may");
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    assert_eq!(taken(&requests)[0].options.resume, session_of(&lost));
}

/// A continuation that is stopped because its node shuts down is still one when it runs again.
#[tokio::test]
async fn a_continuation_that_is_given_back_is_continued() {
    let place = Place::new().await;
    let job = inserted(&place, Resumed::new("the task")).await;
    lose(&place).await;
    let (started, has_started) = tokio::sync::oneshot::channel();
    let started = Mutex::new(Some(started));
    Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .grace(std::time::Duration::ZERO)
        .claude(until_stopped)
        .on_notice(move |notice| {
            if let claude_jobs::notice::Notice::Started { .. } = notice
                && let Some(started) = started.lock().expect("no panic").take()
            {
                started.send(()).expect("somebody waits");
            }
        })
        .run_until(async { has_started.await.expect("it starts") })
        .await
        .expect("it runs");
    let given_back = place.job(&job).await;
    assert_eq!((given_back.state, session_of(&given_back).is_some()), (State::Available, true));
    let (claude, requests) = scripted(true);
    place.drain(claude).await;
    assert_eq!(taken(&requests)[0].options.resume, session_of(&given_back));
}

#[tokio::test]
async fn the_job_of_an_unknown_worker_waits_for_a_node_that_knows_it() {
    let place = Place::new().await;
    let (ours, theirs) = (inserted(&place, Plain::new("x")).await, inserted(&place, Plain::new("x")).await);
    sqlx::query("UPDATE claude_jobs SET worker = 'OfANewerRelease' WHERE id = ?")
        .bind(theirs.id().0)
        .execute(&mut place.connection().await)
        .await
        .expect("it is there");
    lose(&place).await;
    place.drain(scripted(true).0).await;
    assert_eq!(place.job(&ours).await.state, State::Completed);
    let details = place.queue.details(theirs.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.attempt, details.runs.len()), (State::Executing, 1, 0));
}
