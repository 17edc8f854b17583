//! The kill matrix, with the fake CLI: what a tool leaves running × how the run ends.

use std::time::{Duration, Instant};

use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::host::{Host, Order};
use claude_jobs_tests::script::{Child, Step, Take};
use rustix::process::Signal;

use super::{LIMIT, SOON, Start, children, gone, new_marker, processes};

/// A lease that a stopped host lets run out.
const LEASE: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Normal,
    Timeout,
    IdleTimeout,
    Cancel,
    WaiterDropped,
    HostKilled,
    HostStopped,
}

const ENDS: [End; 7] = [
    End::Normal,
    End::Timeout,
    End::IdleTimeout,
    End::Cancel,
    End::WaiterDropped,
    End::HostKilled,
    End::HostStopped,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_end_leaves_a_process() {
    let mut bystander = tokio::process::Command::new("sleep")
        .arg("600")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("sleep exists");
    println!("{:14}{}", "", ENDS.map(|end| format!("{:>15}", format!("{end:?}"))).concat());
    for (name, child) in children() {
        let mut row = format!("{name:14}");
        for end in ENDS {
            let took = cell(end, child.clone()).await;
            row += &format!("{:>12} ms", took.as_millis());
        }
        println!("{row}");
    }
    assert!(bystander.try_wait().expect("it is ours").is_none(), "a bystander was touched");
}

/// Runs one cell of the matrix; answers how long it took from the end's cause to the last process.
async fn cell(end: End, child: Child) -> Duration {
    let take = if end == End::Normal { Take::success("Done.") } else { Take::hang() };
    let fake = FakeClaude::new([take.then(Step::ForkChild(child))]);
    match end {
        End::HostKilled | End::HostStopped => with_a_host(end, &fake).await,
        _ => in_this_process(end, &fake).await,
    }
}

async fn in_this_process(end: End, fake: &FakeClaude) -> Duration {
    let mut start = Start::of(fake.path());
    start.idle = (end == End::IdleTimeout).then_some(Duration::from_millis(700));
    let running = start.go();
    let marker = running.marker.clone();
    child_is_there(fake).await;
    let cause = Instant::now();
    let expected = match end {
        End::Normal => Ending::Exited(0),
        End::Timeout => {
            running.stop.fire(StopReason::Timeout);
            Ending::Stopped(StopReason::Timeout)
        }
        End::Cancel => {
            running.stop.fire(StopReason::Cancel);
            Ending::Stopped(StopReason::Cancel)
        }
        End::IdleTimeout => Ending::Stopped(StopReason::IdleTimeout),
        _ => {
            running.report.abort();
            gone(&marker, LIMIT).await;
            return cause.elapsed();
        }
    };
    let report = running.finish().await;
    assert_eq!(report.ending, expected);
    assert!(report.started && report.session_id.is_some(), "what was seen is kept");
    assert_eq!(report.result.is_some(), end == End::Normal);
    assert_eq!(processes(&marker), [0; 0], "all are gone when the report comes");
    cause.elapsed()
}

async fn with_a_host(end: End, fake: &FakeClaude) -> Duration {
    let marker = new_marker();
    let mut host = Host::start(&Order {
        binary: fake.path().display().to_string(),
        marker: marker.clone(),
        prompt: "Hello.".to_owned(),
        grace_ms: 1000,
        lease_ms: (end == End::HostStopped).then_some(LEASE.as_millis() as u64),
        ..Order::default()
    });
    host.wait_for_start();
    child_is_there(fake).await;
    let cause = Instant::now();
    if end == End::HostKilled {
        host.signal(Signal::KILL);
        gone(&marker, LIMIT).await;
        return cause.elapsed();
    }
    // With extensions it lives on past the first lease.
    tokio::time::sleep(LEASE + Duration::from_millis(500)).await;
    assert!(!processes(&marker).is_empty());
    let cause = Instant::now();
    host.signal(Signal::STOP);
    // The front is the stopped host's child: a zombie, which has no environment.
    gone(&marker, LEASE).await;
    let took = cause.elapsed();
    host.signal(Signal::CONT);
    assert_eq!(host.finish().ending, "stopped: shutdown");
    took
}

async fn child_is_there(fake: &FakeClaude) {
    let ready = || fake.records().first().is_some_and(|record| record.children.len() == 1);
    claude_jobs_tests::sandbox::wait_until(SOON, "the tool's child", ready).await;
}
