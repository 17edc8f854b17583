//! Attempts that end before their time, and handlers that fail: what becomes of a job that may run but once, in every case.
//! Each time it is counted how often claude was started, and how: none starts a second time from the beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use claude_jobs::claude::{ClaudeCli, Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::job::Session;
use claude_jobs::prelude::*;
use claude_jobs::{Inserted, JobBuilder, Outcome};
use claude_jobs_tests::api::{Api, Reply};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::{Sandbox, wait_until};
use claude_jobs_tests::script::{Step, Take};
use claude_jobs_tests::{on_each_claude, once_by_each_policy};
use serde_json::json;

use crate::workers::{Place, Plain, success};

const SOON: Duration = Duration::from_secs(30);

once_by_each_policy! {
    handled;
    Resumed "interrupted.resumed" "resume",
    Retried "interrupted.retried" "retry",
    Held "interrupted.held" "hold",
    Dropped "interrupted.dropped" "cancel",
}

/// Fails as often as the job's notes say, and remembers what it has seen.
fn handled(run: &Run, cx: &mut Ctx) -> Result<Verdict> {
    assert_eq!((run.outcome(), run.text()), (&Outcome::Success, "Done."));
    let fails = cx.meta().get("fails").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let (attempt, key) = (cx.handler_attempt(), cx.answer_key());
    cx.enqueue(Plain::new("a follow-on").queue("elsewhere"));
    cx.meta().insert("seen".into(), json!(attempt));
    match u64::from(attempt) <= fails {
        true if attempt == 2 => panic!("as ordered"),
        true => Err(std::io::Error::other("the application's database is full"))?,
        false => {}
    }
    let answered_in = cx.attempt() - (attempt - 1);
    assert_eq!(key, (cx.job().id, answered_in), "the same answer each time");
    Ok(Verdict::Complete)
}

async fn insert<W: Worker>(place: &Place, job: JobBuilder<W>) -> Inserted {
    job.insert(&place.queue).await.expect("valid")
}

fn cli(fake: &FakeClaude) -> ClaudeCli {
    ClaudeCli::builder().binary(fake.path().to_str().expect("UTF-8")).build()
}

/// Serves until claude is seen to have started so many times, then shuts down without any grace.
async fn serve_until_started(place: &Place, fake: &FakeClaude, starts: usize) {
    let has_started = async {
        while fake.records().len() < starts || !is_begun(place).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let has_started = async { tokio::time::timeout(SOON, has_started).await.expect("it starts") };
    Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .grace(Duration::ZERO)
        .claude(cli(fake))
        .run_until(has_started)
        .await
        .expect("it ends in order");
}

/// Whether it is noted that the claude of a running attempt has started.
async fn is_begun(place: &Place) -> bool {
    let jobs = place.queue.list(&Filter::default()).await.expect("a read");
    jobs.iter().any(|job| job.state == State::Executing && job.begun == job.attempt)
}

fn session_of(job: &Job) -> Option<&Session> {
    job.continuation.session.as_ref()
}

/// A deploy in the middle of a run: what its worker says becomes of it, and it never starts anew.
#[tokio::test]
async fn a_shutdown_in_the_middle_of_a_run_goes_by_on_lost() {
    async fn stopped<W: Worker>(job: JobBuilder<W>) -> (Place, FakeClaude, Inserted) {
        let place = Place::new().await;
        let fake = FakeClaude::new([Take::hang(), Take::success("Done.")]);
        let job = insert(&place, job).await;
        serve_until_started(&place, &fake, 1).await;
        (place, fake, job)
    }
    let (place, fake, job) = stopped(Resumed::new("x")).await;
    let waits = place.job(&job).await;
    assert_eq!((waits.state, waits.uncounted), (State::Available, 1), "{:?}", waits.reason);
    let session = session_of(&waits).expect("it goes on").id.clone();
    place.drain(cli(&fake)).await;
    let done = place.queue.details(job.id()).await.expect("there");
    assert_eq!((done.job.state, done.job.counted_attempts()), (State::Completed, 1));
    assert_eq!(done.runs[0].verdict, "resume");
    let records = fake.records();
    assert_eq!((records.len(), records[1].flag("--resume")), (2, Some(session.as_str())));

    for (states, (place, fake, job)) in [
        ((State::Discarded, "retry"), stopped(Retried::new("x")).await),
        ((State::Discarded, "hold"), stopped(Held::new("x")).await),
        ((State::Cancelled, "cancel"), stopped(Dropped::new("x")).await),
    ] {
        place.drain(cli(&fake)).await;
        let details = place.queue.details(job.id()).await.expect("there");
        assert_eq!((details.job.state, details.runs[0].verdict.as_str()), states);
        let reason = details.job.reason.as_deref();
        if details.job.state == State::Discarded {
            assert_eq!(reason, Some("interrupted: the runtime shut down"));
        }
        assert_eq!(fake.records().len(), 1, "{states:?}: once");
    }
}

/// What the machine lacks in the middle of a run is no fault of the job, nor is what the run has done: it goes on in its
/// session. What a tool has said of a lack is no lack of the machine's.
#[tokio::test]
async fn a_lack_in_the_middle_of_a_run_starts_nothing_anew() {
    let cut_off = |parts: usize, said: &str| {
        let mut take = Take::success("I have begun.");
        take.steps.truncate(parts);
        take.steps.extend([Step::Stderr(format!("{said}\n")), Step::Exit(1)]);
        take
    };
    let lack = "ENOSPC: no space left on device, write";
    let table = [
        ("begun", cut_off(1, lack), State::Completed, 2, 1),
        ("worked", cut_off(2, lack), State::Discarded, 1, 1),
        ("not begun", Take::startup_failure(lack), State::Completed, 2, 2),
        ("a port", cut_off(2, "Error: port 3000 is already in use."), State::Discarded, 1, 1),
        ("a login", cut_off(2, "gh: Not logged in to any hosts"), State::Discarded, 1, 1),
    ];
    for (what, take, state, starts, fresh) in table {
        let place = Place::new().await;
        let fake = FakeClaude::new([take, Take::success("Done.")]);
        let job = insert(&place, Resumed::new("x")).await;
        place.drain(cli(&fake)).await;
        let details = place.queue.details(job.id()).await.expect("there");
        let records = fake.records();
        let begun = records.iter().filter(|record| record.flag("--resume").is_none()).count();
        let seen = (details.job.state, records.len(), begun);
        assert_eq!(seen, (state, starts, fresh), "{what}: {:?}, {:?}", details.job.reason, details.runs);
        assert!(place.queue.blocked().await.expect("a read").is_empty(), "{what}");
    }
}

#[claude_worker(name = "interrupted.anew", queue = "tests", max_attempts = 2, retry_from = "start", backoff = at_once)]
struct Anew;

#[claude_worker(name = "interrupted.on", queue = "tests", max_attempts = 2, backoff = at_once)]
struct On;

/// What has begun and failed for a passing reason goes on in its session, unless its worker says that it starts anew.
#[tokio::test]
async fn a_run_that_has_begun_is_retried_in_its_session() {
    let overloaded = || {
        let mut take = Take::api_error(Some(529), "overloaded_error", "API Error: 529 Overloaded");
        let said = Take::success("I have begun.").steps.swap_remove(1);
        take.steps.insert(1, said);
        take
    };
    for (starts_anew, prompt) in [(false, "was interrupted"), (true, "x")] {
        let place = Place::new().await;
        let fake = FakeClaude::new([overloaded(), Take::success("Done.")]);
        let job = match starts_anew {
            true => insert(&place, Anew::new("x")).await,
            false => insert(&place, On::new("x")).await,
        };
        place.drain(cli(&fake)).await;
        let records = fake.records();
        assert_eq!((place.job(&job).await.state, records.len()), (State::Completed, 2), "{starts_anew}");
        assert_eq!(records[1].flag("--resume").is_none(), starts_anew);
        assert!(records[1].stdin.as_deref().is_some_and(|said| said.contains(prompt)), "{records:?}");
    }
}

/// One deploy after another: uncounted five times, then it counts.
#[tokio::test]
async fn deploys_are_uncounted_five_times() {
    let place = Place::new().await;
    let fake = FakeClaude::new(std::iter::repeat_with(Take::hang).take(9));
    let job = insert(&place, Resumed::new("x")).await;
    for deploy in 1..=6 {
        serve_until_started(&place, &fake, deploy).await;
    }
    let over = place.job(&job).await;
    assert_eq!((over.state, over.attempt, over.uncounted), (State::Discarded, 6, 5));
    let fresh = fake.records().iter().filter(|record| record.flag("--resume").is_none()).count();
    assert_eq!(fresh, 1, "all but the first have continued");
    assert!(over.reason.is_some_and(|reason| reason.contains("interrupted 5 times before")));
    // By hand it goes on, in the same session.
    assert!(session_of(&place.job(&job).await).is_some());
}

/// A handler that fails costs no run of claude: it runs again with the stored answer, up to its number.
#[tokio::test]
async fn a_handler_that_fails_runs_again_alone() {
    for (fails, state, tries) in
        [(0, State::Completed, 1), (3, State::Completed, 4), (9, State::Discarded, 5)]
    {
        for name in ["Resumed", "Retried", "Held", "Dropped"] {
            let place = Place::new().await;
            let notes = serde_json::Map::from_iter([("fails".to_owned(), json!(fails))]);
            let job = match name {
                "Resumed" => insert(&place, Resumed::new("x").meta(notes)).await,
                "Retried" => insert(&place, Retried::new("x").meta(notes)).await,
                "Held" => insert(&place, Held::new("x").meta(notes)).await,
                _ => insert(&place, Dropped::new("x").meta(notes)).await,
            };
            let runs = Arc::new(AtomicU32::new(0));
            let counts = Arc::clone(&runs);
            let claude = move |_: Request| {
                counts.fetch_add(1, Ordering::SeqCst);
                async { Ok::<_, RunnerError>(success("Done.")) }
            };
            let is_over = async {
                while !place.job(&job).await.state.is_final() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let is_over = async { tokio::time::timeout(SOON, is_over).await.expect("it ends") };
            let runtime = Runtime::builder(place.queue.clone()).queue("tests", 1).claude(claude);
            runtime.run_until(is_over).await.expect("it runs");
            let details = place.queue.details(job.id()).await.expect("there");
            let what = format!("{name} {fails}: {:?}", details.job.reason);
            assert_eq!((details.job.state, runs.load(Ordering::SeqCst)), (state, 1), "{what}");
            assert_eq!(details.runs.len(), tries, "{what}");
            assert_eq!(details.job.counted_attempts(), 1, "{what}");
            assert_eq!(details.errors.len(), tries - usize::from(state == State::Completed), "{what}");
            assert!(details.errors.iter().all(|error| error.kind == "handler"), "{what}");
            assert!(details.runs.iter().all(|run| run.result.as_deref() == Some("Done.")), "{what}");
            let follow_ons = place.queue.list(&Filter::default()).await.expect("a read");
            assert_eq!(
                follow_ons.len(),
                1 + usize::from(state == State::Completed),
                "{what}: only the last one's"
            );
            if state == State::Discarded {
                let reason = details.job.reason.as_deref();
                assert_eq!(reason, Some("handler: the application's database is full"), "{what}");
                assert_eq!(details.job.meta.get("seen"), None, "{what}");
                // Its mended handler, by hand.
                let retried = place.queue.retry_handler(job.id()).await.expect("there is an answer");
                assert_eq!(
                    (retried.state, retried.continuation.answered),
                    (State::Available, true),
                    "{what}"
                );
            }
        }
    }
}

on_each_claude! { async the_real_cli_goes_on_after_a_deploy }

/// The work is done once, by one session, and paid for once.
async fn the_real_cli_goes_on_after_a_deploy(claude: RealClaude) {
    let work = json!({"command": "echo done >> paid.txt; sleep 30", "description": "Work"});
    let api = Api::start([Reply::tool("Bash", work), Reply::text("Done.")]);
    let sandbox = Sandbox::new();
    let repo = sandbox.git_repo();
    let runner = || {
        let mut runner = ClaudeCli::builder().binary(claude.path().to_str().expect("UTF-8"));
        for (name, value) in sandbox.env(&api.url()) {
            runner = runner.env(name, value);
        }
        runner.build()
    };
    let place = Place::new().await;
    let job =
        Resumed::new("paint the shed").working_dir(repo.to_str().expect("UTF-8")).allowed_tools(["Bash"]);
    let job = insert(&place, job).await;
    let paid = || std::fs::read_to_string(repo.join("paid.txt")).unwrap_or_default();
    let is_working = async { wait_until(SOON, "the work", || !paid().is_empty()).await };
    Runtime::builder(place.queue.clone())
        .queue("tests", 1)
        .grace(Duration::ZERO)
        .claude(runner())
        .run_until(is_working)
        .await
        .expect("it ends in order");
    let waits = place.job(&job).await;
    assert_eq!((waits.state, waits.uncounted), (State::Available, 1), "{:?}", waits.reason);
    place.drain(runner()).await;
    let details = place.queue.details(job.id()).await.expect("there");
    assert_eq!((details.job.state, details.job.counted_attempts()), (State::Completed, 1), "{details:#?}");
    assert_eq!(details.runs[0].session_id, details.runs[1].session_id);
    assert_eq!(paid(), "done\n", "once");
}
