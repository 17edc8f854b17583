//! Streams: much output, none, half of it; input that nobody reads. The right outcome, bounded memory.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use claude_jobs::outcome::{Ending, StopReason};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::host::{Host, Order, Summary};
use claude_jobs_tests::sandbox::Sandbox;
use claude_jobs_tests::script::{Step, Take};

use super::{Start, new_marker, processes};

/// Runs a CLI in a process of its own, whose memory can be told.
fn measured(binary: PathBuf) -> Summary {
    let order = Order {
        binary: binary.display().to_string(),
        marker: new_marker(),
        prompt: "Hello.".to_owned(),
        grace_ms: 1000,
        ..Order::default()
    };
    let summary = Host::start(&order).finish();
    println!("{summary:?}: {} MiB", (summary.peak_kib - summary.before_kib) / 1024);
    assert_eq!(processes(&order.marker), [0; 0]);
    summary
}

fn grown_mib(summary: &Summary) -> u64 {
    (summary.peak_kib - summary.before_kib) / 1024
}

fn script(sandbox: &Sandbox, text: &str) -> PathBuf {
    let path = sandbox.path().join("claude");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the sandbox can be written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it is ours");
    path
}

#[test]
fn fifty_mebibytes_of_events_are_not_kept() {
    let fake = FakeClaude::new([Take::success("Done.").then(Step::FloodMib(50))]);
    let summary = measured(fake.path());
    assert_eq!(summary.ending, "exit 0");
    assert!(summary.events > 40_000, "{summary:?}");
    assert!(grown_mib(&summary) < 16, "{summary:?}");
}

/// However long a line is, what is kept of it is bounded, and the run goes on.
#[test]
fn a_line_without_end_takes_no_memory_and_ends_nothing() {
    let sandbox = Sandbox::new();
    let result = r#"{"type":"result","subtype":"success","num_turns":1,"result":"done","total_cost_usd":1}"#;
    for (endless, most) in [
        ("head -c 400000000 /dev/zero", 16),
        ("printf '{\"type\":\"x\",\"a\":\"'; head -c 100000000 /dev/zero | tr '\\0' x; printf '\"}'", 100),
        ("printf '{\"type\":\"x\",\"a\":['; head -c 100000000 /dev/zero | tr '\\0' 1; printf ']}'", 16),
        ("head -c 400000000 /dev/zero >&2", 16),
    ] {
        let summary = measured(script(&sandbox, &format!("{endless}; echo; echo '{result}'")));
        assert_eq!(summary.ending, "exit 0", "{endless}");
        assert!(summary.events >= 1, "{endless}: {summary:?}");
        assert!(grown_mib(&summary) < most, "{endless}: {summary:?}");
    }
}

#[tokio::test]
async fn half_a_line_and_then_nothing() {
    let mut take = Take::hang();
    let hang = take.steps.pop().expect("it ends with the hanging");
    take.steps.extend([Step::PrintRaw(r#"{"type":"assist"#.to_owned()), hang]);
    let fake = FakeClaude::new([take]);
    let mut start = Start::of(fake.path());
    start.idle = Some(Duration::from_millis(300));
    let (report, marker) = start.run().await;
    assert_eq!(report.ending, Ending::Stopped(StopReason::IdleTimeout));
    assert_eq!(report.events, 1);
    assert_eq!(processes(&marker), [0; 0]);
}

#[tokio::test]
async fn output_that_ends_before_the_run() {
    let sandbox = Sandbox::new();
    let release = sandbox.path().join("release");
    let mut take = Take::success("Done.");
    let exit = take.steps.pop().expect("it ends with the exit");
    assert!(matches!(exit, Step::Exit(0)));
    take.steps.extend([Step::CloseStdout, Step::AwaitFile(release.clone()), Step::Exit(4)]);
    let fake = FakeClaude::new([take]);
    let running = Start::of(fake.path()).go();
    running.started().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!running.report.is_finished(), "the run goes on");
    std::fs::write(release, "").expect("the sandbox can be written");
    let report = running.finish().await;
    assert_eq!(report.ending, Ending::Exited(4));
    assert!(report.result.is_some());
}

#[tokio::test]
async fn a_cli_that_closes_all_its_streams_and_hangs() {
    let sandbox = Sandbox::new();
    let mute = script(&sandbox, "exec <&- >&- 2>&-; while :; do sleep 0.05; done");
    let running = Start { prompt: "x".repeat(1_000_000), ..Start::of(mute) }.go();
    let marker = running.marker.clone();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!running.report.is_finished(), "the run goes on");
    running.stop.fire(StopReason::Timeout);
    assert_eq!(running.finish().await.ending, Ending::Stopped(StopReason::Timeout));
    assert_eq!(processes(&marker), [0; 0]);
}

#[tokio::test]
async fn a_prompt_that_nobody_reads() {
    let prompt = "x".repeat(5_000_000);
    let fake = FakeClaude::new([Take { read_stdin: false, ..Take::success("Done.") }]);
    let (report, _) = Start { prompt: prompt.clone(), ..Start::of(fake.path()) }.run().await;
    assert_eq!(report.ending, Ending::Exited(0));
    assert!(report.result.is_some());

    let refusal = Take { read_stdin: false, ..Take::startup_failure("error: unknown option '--x'") };
    let fake = FakeClaude::new([refusal]);
    let (report, _) = Start { prompt, ..Start::of(fake.path()) }.run().await;
    assert_eq!(report.ending, Ending::Exited(1));
    assert_eq!(report.stderr, "error: unknown option '--x'\n");
    assert_eq!(fake.records().len(), 1, "its reason came at once");
}
