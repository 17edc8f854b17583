//! A producer or a service that panics ends its runtime, which says so: by a runner that panics where they ask it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use claude_jobs::Error;
use claude_jobs::claude::{Claude, Footprint, Request, RunnerError};
use claude_jobs::notice::Notice;
use claude_jobs::outcome::Report;
use claude_jobs::prelude::*;
use claude_jobs::runtime::RuntimeBuilder;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::workers::{Place, Plain, success, until_stopped};

const SOON: Duration = Duration::from_secs(30);

/// A runner that does what it was last told.
#[derive(Clone, Default)]
struct Moody {
    mood: Arc<AtomicU8>,
    /// Told when a run has begun.
    begun: Arc<Notify>,
    /// Told when a service is about to panic.
    panics: Arc<Notify>,
}

/// Only the service that measures the machine asks for a footprint.
const PANIC_AS_FOOTPRINT: u8 = 1;
/// Only producers that may claim and, after it has renewed it, the service of the lease ask for the grace.
const PANIC_AS_GRACE: u8 = 2;
/// The runs take more memory than there is.
const SWELL: u8 = 4;

impl Moody {
    fn turn(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    fn is(&self, mood: u8) -> bool {
        self.mood.load(Ordering::SeqCst) & mood != 0
    }

    fn serve(&self, place: &Place) -> RuntimeBuilder {
        Runtime::builder(place.queue.clone()).queue("tests", 2).min_free_memory(0).claude(self.clone())
    }
}

#[async_trait]
impl Claude for Moody {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        self.begun.notify_one();
        tokio::select! {
            report = until_stopped(request) => report,
            () = self.panics.notified() => Ok(success("done")),
        }
    }

    fn grace(&self) -> Duration {
        assert!(!self.is(PANIC_AS_GRACE), "no grace");
        Duration::ZERO
    }

    fn footprint(&self) -> Footprint {
        if self.is(PANIC_AS_FOOTPRINT) {
            self.panics.notify_one();
            panic!("no {}", "footprint");
        }
        let memory_bytes = if self.is(SWELL) { 1 << 50 } else { 1 };
        Footprint { descriptors: 1, memory_bytes }
    }
}

/// The state of the only job.
async fn state(place: &Place) -> State {
    let jobs = place.queue.list(&claude_jobs::engine::Filter::default()).await.expect("a read");
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    job.state
}

async fn nodes(place: &Place) -> usize {
    place.queue.engine().nodes().await.expect("a read").len()
}

#[track_caller]
fn assert_broke_down(ended: Result<(), Error>, expected: [&str; 2]) {
    match ended {
        Err(Error::BrokeDown { part, problem }) => assert_eq!([&*part, &*problem], expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_that_panics_ends_the_runtime_as_a_signal_does() {
    for drains in [false, true] {
        let (place, claude) = (Place::new().await, Moody::default());
        Plain::new("x").insert(&place.queue).await.expect("valid");
        let runtime = claude.serve(&place);
        let running = tokio::spawn(async move {
            if drains { runtime.drain().await } else { runtime.run_until(std::future::pending()).await }
        });
        claude.begun.notified().await;
        claude.turn(PANIC_AS_FOOTPRINT);
        let ended = timeout(SOON, running).await.expect("it ends").expect("it does not panic itself");
        let error = ended.as_ref().expect_err("it says so").to_string();
        assert!(error.contains("its service `gate` panicked: no footprint; start it again"), "{error}");
        assert_broke_down(ended, ["service `gate`", "panicked: no footprint"]);
        assert_eq!(state(&place).await, State::Completed, "its run had the grace");
        assert_eq!(nodes(&place).await, 0);
    }
}

#[tokio::test]
async fn a_producer_that_panics_ends_the_runtime_and_leaves_its_runs_to_be_rescued() {
    let (place, claude) = (Place::new().await, Moody::default());
    Plain::new("x").insert(&place.queue).await.expect("valid");
    let runtime = claude.serve(&place).queue("leap", 1);
    let running = tokio::spawn(runtime.run_until(std::future::pending()));
    claude.begun.notified().await;
    claude.turn(PANIC_AS_GRACE);
    // A reason to claim.
    place.queue.resume("tests").await.expect("a write");
    let ended = timeout(SOON, running).await.expect("it ends").expect("it does not panic itself");
    let part = match &ended {
        Err(Error::BrokeDown { part, .. }) => part.clone(),
        other => panic!("{other:?}"),
    };
    assert!(["producer of queue `tests`", "producer of queue `leap`"].contains(&&*part), "{part}");
    assert_broke_down(ended, [&part, "panicked: no grace"]);
    let lost = (State::Executing, 1);
    assert_eq!(
        (state(&place).await, nodes(&place).await),
        lost,
        "nobody takes it over before the lease is over"
    );
}

/// Without it a run would go on until the lease is over, and could not be settled then.
#[tokio::test]
async fn runs_are_stopped_at_once_when_nobody_renews_the_lease() {
    let (place, claude) = (Place::new().await, Moody::default());
    Plain::new("x").insert(&place.queue).await.expect("valid");
    let full = Arc::new(Notify::new());
    let told = Arc::clone(&full);
    let runtime =
        claude.serve(&place).lease(Duration::from_secs(12)).grace(Duration::from_secs(600)).on_notice(
            move |notice| {
                if let Notice::ClaimsStopped { .. } = notice {
                    told.notify_one();
                }
            },
        );
    let running = tokio::spawn(runtime.run_until(std::future::pending()));
    claude.begun.notified().await;
    // So that no producer asks for the grace.
    claude.turn(SWELL);
    full.notified().await;
    claude.turn(SWELL | PANIC_AS_GRACE);
    let ended = timeout(SOON, running).await.expect("it ends").expect("it does not panic itself");
    assert_broke_down(ended, ["service `lease`", "panicked: no grace"]);
    assert_eq!(state(&place).await, State::Available, "it goes on in its session");
    assert_eq!(nodes(&place).await, 0);
}

#[tokio::test]
async fn a_database_file_that_is_replaced_ends_the_runtime() {
    let place = Place::new().await;
    let lease = Duration::from_secs(12);
    let runtime =
        Runtime::builder(place.queue.clone()).queue("tests", 1).lease(lease).claude(Moody::default());
    let runtime = tokio::spawn(runtime.run_until(std::future::pending()));
    let (file, other) = (place.folder.path().join("jobs.db"), place.folder.path().join("other.db"));
    std::fs::copy(&file, &other).expect("a copy");
    std::fs::rename(&other, &file).expect("another file in its place");
    let ended = timeout(SOON, runtime).await.expect("it ends").expect("no panic");
    let error = ended.expect_err("nobody reads what it writes");
    assert!(matches!(&error, Error::DatabaseReplaced { path } if path.ends_with("jobs.db")), "{error}");
}
