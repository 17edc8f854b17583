//! What happens when something befalls the front, the supervisor or the CLI, and at odd moments.

use std::time::{Duration, Instant};

use claude_jobs::claude::{Claude, ClaudeCli, Supervision};
use claude_jobs::clock::Uptime;
use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::host::{Host, Order};
use claude_jobs_tests::sandbox::Sandbox;
use claude_jobs_tests::script::{Child, Step, Take};
use rustix::process::{Pid, Signal, kill_process};

use super::{FRONT, LIMIT, MADE, Made, Running, SUPERVISOR, Start, gone, new_marker, processes};

/// A run that hangs, with a stubborn tool and a daemon.
async fn hanging(made: Made) -> (Running, FakeClaude) {
    let stubborn = Child { ignore_signals: true, ..Child::default() };
    let daemon = Child { daemonise: true, ..Child::default() };
    let mut take = Take::hang();
    let hang = take.steps.pop().expect("it ends with the hanging");
    take.steps.extend([Step::ForkChild(stubborn), Step::ForkChild(daemon)]);
    take.steps.push(Step::Print(serde_json::json!({ "type": "system", "subtype": "ready" })));
    take.steps.push(hang);
    let fake = FakeClaude::new([take]);
    let running = Start::of(fake.path()).made(made).go();
    let ready = || fake.records().first().is_some_and(|record| record.children.len() == 2);
    claude_jobs_tests::sandbox::wait_until(super::SOON, "both children", ready).await;
    (running, fake)
}

fn kill(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("ids are positive");
    kill_process(id, signal).expect("it is alive");
}

#[test]
fn this_program_has_supervisors() {
    assert_eq!(ClaudeCli::default().supervision(), Supervision::Supervisor);
    let without = ClaudeCli::builder().without_helper().build().supervision();
    assert_eq!(without, Supervision::ThisProgram("configured so".to_owned()));
}

/// A front that cannot work says so and ends; a program that it is made of never runs.
#[test]
fn a_front_with_a_bad_order() {
    let orders = [
        ("nonsense", "the order is not one of ours"),
        ("1 3 4 5 6 1000 0 /bin/true", "the process that ordered it is gone"),
        (&format!("{} 0 4 1 6 1000 0 /bin/true", std::process::id()), "the control pipe: "),
    ];
    for (made, (order, problem)) in MADE.into_iter().flat_map(|made| orders.map(|order| (made, order))) {
        let mut command = std::process::Command::new(made.program());
        let output = command.env("CLAUDE_JOBS_SUPERVISE", order).output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{made:?}: {said}");
        assert!(
            said.starts_with(&format!("claude-jobs cannot supervise the run: {problem}")),
            "{made:?}: {said}"
        );
        assert_eq!(output.stdout, b"");
    }
}

#[tokio::test]
async fn a_killed_supervisor() {
    for made in MADE {
        let (running, _fake) = hanging(made).await;
        let marker = running.marker.clone();
        kill(running.wait_for(SUPERVISOR).await, Signal::KILL);
        let report = running.finish().await;
        assert_eq!(report.ending, Ending::Signalled(Some(9)));
        assert!(report.started, "what was seen is kept");
        assert_eq!(processes(&marker), [0; 0]);
    }
}

#[tokio::test]
async fn a_killed_front() {
    for made in MADE {
        let (running, _fake) = hanging(made).await;
        let marker = running.marker.clone();
        kill(running.wait_for(FRONT).await, Signal::KILL);
        gone(&marker, LIMIT).await;
        assert_eq!(running.finish().await.ending, Ending::Signalled(Some(9)));
    }
}

#[tokio::test]
async fn front_and_supervisor_killed_at_once() {
    for made in MADE {
        let (running, fake) = hanging(made).await;
        let keepers = [running.wait_for(FRONT).await, running.wait_for(SUPERVISOR).await];
        // Stopped first, so that neither can act on the other's death.
        for signal in [Signal::STOP, Signal::KILL] {
            keepers.iter().for_each(|id| kill(*id, signal));
        }
        assert_eq!(running.finish().await.ending, Ending::Signalled(Some(9)));
        // Its tools are out of reach then: the fake clears up what it has started.
        let ended = || fake.records()[0].exit == Some(143);
        claude_jobs_tests::sandbox::wait_until(LIMIT, "the CLI to end by the parent-death signal", ended)
            .await;
    }
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer() {
    for made in MADE {
        let (running, _fake) = hanging(made).await;
        let marker = running.marker.clone();
        kill(running.wait_for(SUPERVISOR).await, Signal::STOP);
        running.stop.fire(StopReason::Cancel);
        let start = Instant::now();
        assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Cancel));
        // The grace and 2 s for the supervisor, then the grace of what it had left.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert_eq!(processes(&marker), [0; 0]);
    }
}

#[tokio::test]
async fn a_supervisor_that_is_asked_to_end() {
    for made in MADE {
        let (running, fake) = hanging(made).await;
        let marker = running.marker.clone();
        kill(running.wait_for(SUPERVISOR).await, Signal::TERM);
        // The fake's exit code on SIGTERM: it had its grace.
        assert_eq!(running.finish().await.ending, Ending::Exited(143));
        assert_eq!(fake.records()[0].exit, Some(143));
        assert_eq!(processes(&marker), [0; 0]);
    }
}

#[tokio::test]
async fn a_killed_cli() {
    for made in MADE {
        let (running, fake) = hanging(made).await;
        let marker = running.marker.clone();
        kill(fake.records()[0].pid, Signal::KILL);
        assert_eq!(running.finish().await.ending, Ending::Signalled(Some(9)));
        assert_eq!(processes(&marker), [0; 0]);
    }
}

#[tokio::test]
async fn a_stopped_cli_still_gets_its_grace() {
    for made in MADE {
        let (running, fake) = hanging(made).await;
        kill(fake.records()[0].pid, Signal::STOP);
        running.stop.fire(StopReason::Timeout);
        assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Timeout));
        assert_eq!(fake.records()[0].exit, Some(143), "it ended by itself");
    }
}

#[tokio::test]
async fn what_a_run_leaves_may_save_its_work() {
    for made in MADE {
        let sandbox = Sandbox::new();
        let saved = sandbox.path().join("saved");
        let ready = sandbox.path().join("ready");
        // Counts the signals: a second one would say that it is in a hurry.
        let script = format!(
            "trap 'echo saved >>{}; sleep 0.1; exit' TERM; : >{}; while :; do sleep 0.02; done",
            saved.display(),
            ready.display()
        );
        let tool = Step::Tool(["setsid", "sh", "-c", &script].map(str::to_owned).into());
        let fake = FakeClaude::new([Take::success("Done.").then(Step::AwaitFile(ready)).then(tool)]);
        let (report, marker) = Start::of(fake.path()).made(made).run().await;
        assert_eq!(report.ending, Ending::Exited(0));
        assert_eq!(std::fs::read_to_string(saved).ok().as_deref(), Some("saved\n"));
        assert_eq!(processes(&marker), [0; 0]);
    }
}

#[tokio::test]
async fn a_cli_that_ignores_sigterm_is_killed_after_the_grace() {
    let take = Take::hang().first(Step::IgnoreSigterm);
    let fake = FakeClaude::new([take]);
    let running = Start::of(fake.path()).go();
    running.started().await;
    let marker = running.marker.clone();
    running.stop.fire(StopReason::Cancel);
    let start = Instant::now();
    assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Cancel));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(processes(&marker), [0; 0]);
}

#[tokio::test]
async fn a_stop_before_the_start() {
    let fake = FakeClaude::new([Take::hang()]);
    let running = Start::of(fake.path()).go();
    running.stop.fire(StopReason::Cancel);
    let marker = running.marker.clone();
    assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Cancel));
    assert_eq!(processes(&marker), [0; 0]);
}

#[tokio::test]
async fn a_lease_that_has_run_out_before_the_start() {
    let fake = FakeClaude::new([Take::hang()]);
    let marker = new_marker();
    let (claude, request) = Start::of(fake.path()).request(&marker);
    request.lease.extend(Uptime::now());
    let report = claude.run(request).await.expect("a report");
    assert_eq!(report.ending, Ending::Stopped(StopReason::LeaseLost));
    assert_eq!(processes(&marker), [0; 0]);
}

#[tokio::test]
async fn a_lifted_lease_does_not_run_out() {
    let fake = FakeClaude::new([Take::hang()]);
    let marker = new_marker();
    let (claude, request) = Start::of(fake.path()).request(&marker);
    // Grace and killing take 3 s, so the end would begin half a second from now.
    request.lease.extend(Uptime::now().plus(Duration::from_millis(3500)));
    let (lease, stop) = (request.lease.clone(), request.stop.clone());
    let running = tokio::spawn(async move { claude.run(request).await.expect("a report") });
    lease.lift();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!running.is_finished());
    lease.extend(Uptime::now().plus(Duration::from_secs(60)));
    stop.fire(StopReason::Cancel);
    assert_eq!(running.await.expect("no panic").ending, Ending::Stopped(StopReason::Cancel));
}

#[test]
fn an_upgrade_under_a_running_host() {
    for without_helper in [false, true] {
        let sandbox = Sandbox::new();
        let program = sandbox.path().join("host");
        std::fs::hard_link(Host::program(), &program)
            .or_else(|_| std::fs::copy(Host::program(), &program).map(drop))
            .expect("the sandbox can be written");
        let fake = FakeClaude::new([Take::success("Done.")]);
        let order = Order {
            binary: fake.path().display().to_string(),
            marker: new_marker(),
            prompt: "Hello.".to_owned(),
            without_its_file: true,
            without_helper,
            ..Order::default()
        };
        assert_eq!(Host::start_program(&program, &order).finish().ending, "exit 0");
        assert!(!program.exists());
    }
}
