//! Rows of the kill matrix for jobs that may run but once: SIGTERM without any grace, and a handler that fails, by each
//! policy of `on_lost` and whatever a tool leaves running.

use std::process::Stdio;
use std::time::Duration;

use claude_jobs::JobBuilder;
use claude_jobs::claude::ClaudeCli;
use claude_jobs::prelude::*;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::once_by_each_policy;
use claude_jobs_tests::sandbox::wait_until;
use claude_jobs_tests::script::{Child, Step, Take};
use rustix::process::{Pid, Signal, kill_process};

use super::ledger::children;
use super::{LIMIT, SOON, gone};
use crate::workers::Place;

once_by_each_policy!(complete);

fn complete(_: &Run, _: &mut Ctx) -> Result<Verdict> {
    Ok(Verdict::Complete)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Sigterm,
    HandlerFails,
}

/// What becomes of the job by then, and by what verdict of the first attempt.
fn expected(end: End, policy: &str) -> (State, &'static str) {
    match (end, policy) {
        (End::HandlerFails, _) => (State::Completed, "handler failed"),
        (End::Sigterm, "resume") => (State::Available, "resume"),
        (End::Sigterm, "retry") => (State::Discarded, "retry"),
        (End::Sigterm, "hold") => (State::Discarded, "hold"),
        (End::Sigterm, _) => (State::Cancelled, "cancel"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_may_run_but_once_ends_by_its_policy() {
    for end in [End::Sigterm, End::HandlerFails] {
        for (left, child) in children() {
            let cells = [
                cell(end, left, child.clone(), "resume", Resumed::new("x")).await,
                cell(end, left, child.clone(), "retry", Retried::new("x")).await,
                cell(end, left, child.clone(), "hold", Held::new("x")).await,
                cell(end, left, child, "cancel", Dropped::new("x")).await,
            ];
            println!("{end:?} {left}: {cells:?}");
        }
    }
}

/// How long it took from the signal until nothing was left.
async fn cell<W: Worker>(end: End, left: &str, child: Child, policy: &str, job: JobBuilder<W>) -> Duration {
    let what = format!("{end:?}, {left}, {policy}");
    let place = Place::new().await;
    let first = if end == End::Sigterm { Take::hang() } else { Take::success("Done.") };
    let fake = FakeClaude::new([first.then(Step::ForkChild(child)), Take::success("At last.")]);
    let job = job.insert(&place.queue).await.expect("valid");
    let mut worker = std::process::Command::new(env!("CARGO_BIN_EXE_worker"))
        .args([place.url().as_str(), fake.path().to_str().expect("UTF-8"), "12"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let wanted = if end == End::Sigterm { State::Executing } else { State::Completed };
    let start = std::time::Instant::now();
    loop {
        let now = place.job(&job).await;
        let is_begun = fake.records().first().is_some_and(|record| record.children.len() == 1);
        if is_begun && now.state == wanted && (wanted.is_final() || now.begun == now.attempt) {
            break;
        }
        assert!(start.elapsed() < SOON, "{what}: {now:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill_process(Pid::from_child(&worker), Signal::TERM).expect("it is ours");
    wait_until(SOON, "the worker's end", || worker.try_wait().expect("it is ours").is_some()).await;
    assert!(worker.wait().expect("it has ended").success(), "{what}");
    let took = gone(&format!("{}.1", job.id()), LIMIT).await;
    let details = place.queue.details(job.id()).await.expect("there");
    let seen = (details.job.state, details.runs[0].verdict.as_str());
    assert_eq!(seen, expected(end, policy), "{what}: {:?}", details.job.reason);

    let claude = ClaudeCli::builder().binary(fake.path().to_str().expect("UTF-8")).build();
    place.drain(claude).await;
    let over = place.job(&job).await;
    let (state, _) = expected(end, policy);
    let after = if state == State::Available { State::Completed } else { state };
    assert_eq!((over.state, over.counted_attempts()), (after, 1), "{what}");
    let fresh = fake.records().iter().filter(|record| record.flag("--resume").is_none()).count();
    assert_eq!(fresh, 1, "{what}: it was begun once");
    took
}
