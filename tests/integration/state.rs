//! The application's state in handlers, and workers whose runtime was given none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs::testing::{self, drain, perform, respond};

use crate::workers::{Place, success};

/// What the handlers share.
#[derive(Default)]
struct App {
    answers: Mutex<Vec<String>>,
}

/// Another value of the same runtime.
#[derive(Default)]
struct Count(AtomicU32);

#[claude_worker(name = "state.noting", queue = "stateful", state = App)]
struct Noting;

impl Handler for Noting {
    async fn handle_result(&self, answer: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        let app = cx.state::<App>();
        cx.enqueue(Asking::new("and then?"));
        app.answers.lock().expect("no holder panics").push(answer);
        Ok(Verdict::Complete)
    }
}

/// Takes state that it does not declare.
#[claude_worker(name = "state.asking", queue = "tests", max_handler_attempts = 1)]
struct Asking;

impl Handler for Asking {
    async fn handle_result(&self, _: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.state::<Count>().0.fetch_add(1, Ordering::Relaxed);
        Ok(Verdict::Complete)
    }
}

async fn ada(_: Request) -> Result<Report, RunnerError> {
    Ok(success("Ada."))
}

#[tokio::test]
async fn handlers_find_the_applications_values_by_their_type() {
    let place = Place::new().await;
    let job = Noting::new("who?").insert(&place.queue).await.expect("valid");
    let served = Runtime::builder(place.queue.clone())
        .state(App::default())
        .state(Count::default())
        .queue("stateful", 1)
        .queue("tests", 1)
        .claude(ada);
    served.drain().await.expect("it ends");
    assert_eq!(place.job(&job).await.state, State::Completed);
    let all = place.queue.list(&Default::default()).await.expect("a read");
    assert!(all.len() == 2 && all.iter().all(|job| job.state == State::Completed), "{all:?}");
}

/// In a test the values are its own.
#[tokio::test]
async fn the_test_kit_takes_them() {
    let app = std::sync::Arc::new(App::default());
    let done = perform(Kept::new("x"), respond("Ada.")).state(std::sync::Arc::clone(&app)).await;
    assert_eq!(done.expect("it runs").verdict, Verdict::Complete);

    let queue = testing::queue().await.expect("a queue");
    Kept::new("x").insert(&queue).await.expect("valid");
    let drained = drain(&queue, respond("Grace.")).state(std::sync::Arc::clone(&app)).await.expect("it runs");
    assert_eq!(drained.completed(), 1, "{drained}");
    assert_eq!(*app.answers.lock().expect("no holder panics"), ["Ada.", "Grace."]);
}

#[claude_worker(name = "state.kept", queue = "kept", state = std::sync::Arc<App>)]
struct Kept;

impl Handler for Kept {
    async fn handle_result(&self, answer: String, _: &Run, cx: &mut Ctx) -> Result<Verdict> {
        cx.state::<std::sync::Arc<App>>().answers.lock().expect("no holder panics").push(answer);
        Ok(Verdict::Complete)
    }
}

/// The mistake is found before a job is claimed, and names worker, place and type.
#[tokio::test]
async fn a_runtime_without_it_does_not_start() {
    let queue = testing::queue().await.expect("a queue");
    let job = Noting::new("x").insert(&queue).await.expect("valid");
    let told = |error: claude_jobs::Error| {
        let text = error.to_string();
        for part in ["worker `state.noting` (", "state.rs:", "`state = App`", ".state(…)"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        text
    };
    let runtime = || Runtime::builder(queue.clone()).queue("stateful", 1).claude(ada);
    let text = told(runtime().drain().await.expect_err("no state"));
    assert!(text.contains("no state was given"), "{text}");
    let text = told(runtime().state(Count::default()).drain().await.expect_err("another's state"));
    assert!(text.contains("the state that was given is `integration::state::Count`"), "{text}");
    told(perform(Noting::new("x"), respond("Ada.")).await.expect_err("no state"));
    told(drain(&queue, respond("Ada.")).await.expect_err("no state"));
    let job = queue.get(job.id()).await.expect("a read").expect("the job");
    assert_eq!((job.state, job.attempt), (State::Available, 0));
}

/// A job in another queue waits for a runtime that can handle it, as that of an unknown worker does.
#[tokio::test]
async fn its_jobs_in_other_queues_wait_for_a_runtime_that_has_it() {
    let place = Place::new().await;
    let job = Noting::new("x").queue("tests").insert(&place.queue).await.expect("valid");
    let runtime = || Runtime::builder(place.queue.clone()).queue("tests", 1).claude(ada);
    runtime().drain().await.expect("nothing for it");
    assert_eq!(place.job(&job).await.state, State::Available);
    runtime().state(App::default()).state(Count::default()).drain().await.expect("it ends");
    assert_eq!(place.job(&job).await.state, State::Completed);
}

#[tokio::test]
async fn state_that_nobody_declared_and_nobody_gave_is_a_failed_handler() {
    let place = Place::new().await;
    let job = Asking::new("x").insert(&place.queue).await.expect("valid");
    place.drain(ada).await;
    let job = place.job(&job).await;
    let reason = job.reason.unwrap_or_default();
    assert_eq!(job.state, State::Discarded);
    for part in ["handler: it panicked: no `integration::state::Count`", "no state was given", "state = …"]
    {
        assert!(reason.contains(part), "{reason}");
    }
}
