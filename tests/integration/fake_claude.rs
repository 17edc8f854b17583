//! The fake `claude` does what its script says. What a test believes of it is proven here.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::{Sandbox, processes_with_env, wait_until};
use claude_jobs_tests::script::{Answer, Child, SESSION_ID, Script, Step, Take};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SOON: Duration = Duration::from_secs(20);

/// A command for the fake with an environment that only this test has.
fn command(fake: &FakeClaude, marker: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(fake.path());
    command
        .env_clear()
        .env("MARKER", marker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(fake: &FakeClaude, arguments: &[&str], prompt: &str) -> Output {
    let mut process = command(fake, "run").args(arguments).spawn().expect("the fake can be started");
    let mut stdin = process.stdin.take().expect("it was asked to be a pipe");
    let prompt = prompt.to_owned();
    let writing = tokio::spawn(async move { stdin.write_all(prompt.as_bytes()).await });
    let output = process.wait_with_output().await.expect("the fake ends");
    // A fake that does not read its input closes it; that is the script's business.
    let _ = writing.await;
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn marker(fake: &FakeClaude) -> String {
    fake.path().display().to_string()
}

#[tokio::test]
async fn a_success_looks_like_the_real_one() {
    let fake = FakeClaude::new([Take::success("Hello.").costing(0.25)]);
    let session = "5e551011-0000-4000-8000-0000000000f1";
    let output = run(&fake, &["-p", "--session-id", session], "Say hello.").await;

    let events = lines(&output);
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["system", "assistant", "result"]);
    assert!(events.iter().all(|event| event["session_id"] == session));
    assert_eq!(events[2]["result"], "Hello.");
    assert_eq!(events[2]["total_cost_usd"], 0.25);
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn the_record_tells_what_the_run_was_given() {
    let fake = FakeClaude::new([Take::success("Hello.")]);
    let prompt = "words ".repeat(200_000);
    run(&fake, &["-p", "--model", "sonnet"], &prompt).await;

    let records = fake.records();
    let record = &records[0];
    assert_eq!(record.argv[1..], ["-p", "--model", "sonnet"]);
    assert_eq!(record.flag("--model"), Some("sonnet"));
    assert_eq!(record.stdin.as_deref(), Some(prompt.as_str()));
    assert_eq!(record.stdin_bytes, Some(prompt.len()));
    assert_eq!(record.env.get("MARKER").map(String::as_str), Some("run"));
    assert_eq!(record.cwd, std::env::current_dir().expect("a test has one"));
    assert_eq!(record.exit, Some(0));
    assert!(record.ended_ms >= Some(record.started_ms));
}

#[tokio::test]
async fn takes_are_played_in_turn_and_the_last_repeats() {
    let fake = FakeClaude::new([Take::success("one"), Take::success("two")]);
    for expected in ["one", "two", "two"] {
        let output = run(&fake, &[], "").await;
        assert_eq!(lines(&output)[2]["result"], expected);
    }
}

#[tokio::test]
async fn parallel_invocations_get_a_take_each() {
    let fake = FakeClaude::new([Take::success("any")]);
    let runs = (0..8).map(|_| run(&fake, &[], ""));
    futures_util::future::join_all(runs).await;
    let takes: Vec<usize> = fake.records().iter().map(|record| record.take).collect();
    assert_eq!(takes, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn questions_use_up_no_take() {
    let signed_out = Answer { stdout: Some(r#"{"loggedIn":false}"#.into()), exit: 1 };
    let takes = vec![Take::success("one")];
    let fake = FakeClaude::from_script(Script { auth: signed_out, takes, ..Script::default() });

    let version = run(&fake, &["--version"], "").await;
    let line = format!("{} (Claude Code)\n", claude_jobs::claude::NEWEST_TESTED);
    assert_eq!(version.stdout, line.as_bytes());
    let auth = run(&fake, &["auth", "status"], "").await;
    assert_eq!((auth.stdout.as_slice(), auth.status.code()), (&b"{\"loggedIn\":false}\n"[..], Some(1)));
    assert!(fake.records().is_empty());
}

#[tokio::test]
async fn placeholders_stand_for_the_run() {
    let event = json!({ "id": "$SESSION_ID", "in": ["$CWD"], "said": "<$PROMPT>" });
    let fake = FakeClaude::new([Take::of([Step::Print(event)])]);
    let cwd = std::env::current_dir().expect("a test has one");

    let fresh = lines(&run(&fake, &[], "cost $CWD").await);
    assert_eq!(fresh, [json!({ "id": SESSION_ID, "in": [cwd], "said": "<cost $CWD>" })]);
    let resumed = lines(&run(&fake, &["--resume", "abc"], "").await);
    assert_eq!(resumed[0]["id"], "abc");
}

#[tokio::test]
async fn a_transcript_is_replayed_as_this_session() {
    let path = claude_jobs_tests::transcript::Transcript::load("tool_use").path();
    let fake = FakeClaude::new([Take::of([Step::EventsFrom(path)])]);
    let events = lines(&run(&fake, &["--session-id", "mine"], "").await);
    assert!(events.len() >= 5);
    assert!(events.iter().all(|event| event["session_id"] == "mine"));
}

#[tokio::test]
async fn output_can_be_anything() {
    let steps = [
        Step::PrintRaw("half a li".into()),
        Step::Garbage(1000),
        Step::FloodMib(2),
        Step::Stderr("oh no".into()),
        Step::Exit(3),
    ];
    let fake = FakeClaude::new([Take::of(steps)]);
    let output = run(&fake, &[], "").await;
    assert!(output.stdout.starts_with(b"half a li"));
    assert!(output.stdout.len() > 2 * 1024 * 1024);
    assert!(String::from_utf8(output.stdout).is_err(), "garbage is not UTF-8");
    assert_eq!(output.stderr, b"oh no");
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn input_may_be_left_unread() {
    let take = Take { read_stdin: false, ..Take::startup_failure("error: unknown option '--x'") };
    let fake = FakeClaude::new([take]);
    let output = run(&fake, &["--x"], &"x".repeat(1_000_000)).await;
    assert_eq!(output.stderr, b"error: unknown option '--x'\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fake.records()[0].stdin, None);
}

#[tokio::test]
async fn standard_output_can_end_before_the_run() {
    let sandbox = Sandbox::new();
    let release = sandbox.path().join("release");
    let steps = [Step::CloseStdout, Step::AwaitFile(release.clone()), Step::Exit(4)];
    let fake = FakeClaude::new([Take { read_stdin: false, ..Take::of(steps) }]);

    let mut process = command(&fake, "close").spawn().expect("the fake can be started");
    let mut text = Vec::new();
    let mut stdout = process.stdout.take().expect("it was asked to be a pipe");
    let end = tokio::time::timeout(SOON, stdout.read_to_end(&mut text)).await;
    end.expect("the end comes while it lives").expect("a pipe can be read");
    assert!(process.try_wait().expect("it is our child").is_none(), "it lives on");
    std::fs::write(release, "").expect("the sandbox can be written");
    assert_eq!(process.wait().await.expect("it ends").code(), Some(4));
}

#[tokio::test]
async fn signals_end_it_as_they_end_the_real_one() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 0), (Signal::HUP, 129)] {
        let fake = FakeClaude::new([Take { read_stdin: false, ..Take::hang() }]);
        let mut process = command(&fake, "signal").spawn().expect("the fake can be started");
        await_first_byte(&mut process).await;
        kill_process(pid(&process), signal).expect("it is alive");
        assert_eq!(process.wait().await.expect("it ends").code(), Some(code));
        assert_eq!(fake.records()[0].exit, Some(code));
    }
}

#[tokio::test]
async fn a_stubborn_one_ends_by_sigkill_only() {
    let steps = [Step::IgnoreSigterm, Step::PrintRaw("x".into()), Step::Hang];
    let fake = FakeClaude::new([Take { read_stdin: false, ..Take::of(steps) }]);
    let mut process = command(&fake, "stubborn").spawn().expect("the fake can be started");
    await_first_byte(&mut process).await;

    kill_process(pid(&process), Signal::TERM).expect("it is alive");
    let waited = tokio::time::timeout(Duration::from_millis(300), process.wait()).await;
    assert!(waited.is_err(), "SIGTERM does nothing");
    kill_process(pid(&process), Signal::KILL).expect("it is alive");
    assert_eq!(process.wait().await.expect("it ends").signal(), Some(9));
    assert_eq!(fake.records()[0].ended_ms, None, "nobody could note the end");
}

#[tokio::test]
async fn it_can_end_itself_by_a_signal() {
    for signal in [6, 9, 11, 15] {
        let fake = FakeClaude::new([Take::of([Step::KillSelf(signal)])]);
        let output = run(&fake, &[], "").await;
        assert_eq!(output.status.signal(), Some(signal));
    }
}

#[tokio::test]
async fn children_outlive_it_and_are_ended_with_the_fake() {
    let stubborn = Child { ignore_signals: true, ..Child::default() };
    let daemon = Child { daemonise: true, ..Child::default() };
    let take = Take::of([Step::ForkChild(stubborn), Step::ForkChild(daemon)]);
    let fake = FakeClaude::new([take]);
    let marker = marker(&fake);
    let output = command(&fake, &marker).stdin(Stdio::null()).output().await.expect("the fake ends");
    assert_eq!(output.status.code(), Some(0));

    let children = fake.records()[0].children.clone();
    let mut alive = processes_with_env(&format!("MARKER={marker}"));
    alive.sort_unstable();
    let mut expected = children.clone();
    expected.sort_unstable();
    assert_eq!(alive, expected, "both outlive the run");
    for child in &children {
        let session = Command::new("ps").args(["-o", "sid=", "-p", &child.to_string()]).output();
        let session = String::from_utf8(session.expect("ps runs").stdout).expect("digits");
        assert_eq!(session.trim(), child.to_string(), "each leads a session of its own");
    }

    kill_process(raw(children[0]), Signal::TERM).expect("it is alive");
    kill_process(raw(children[1]), Signal::TERM).expect("it is alive");
    let marker = format!("MARKER={marker}");
    wait_until(SOON, "the obedient child to end", || processes_with_env(&marker).len() == 1).await;
    assert_eq!(processes_with_env(&marker), [children[0]], "the stubborn one stays");
    drop(fake);
    wait_until(SOON, "the fake to clear up", || processes_with_env(&marker).is_empty()).await;
}

#[tokio::test]
async fn a_daemon_is_no_longer_a_child() {
    let children = [false, true].map(|daemonise| Step::ForkChild(Child { daemonise, ..Child::default() }));
    let steps = children.into_iter().chain([Step::PrintRaw("x".into()), Step::Hang]);
    let fake = FakeClaude::new([Take { read_stdin: false, ..Take::of(steps) }]);
    let mut process = command(&fake, "daemon").spawn().expect("the fake can be started");
    await_first_byte(&mut process).await;

    let record = &fake.records()[0];
    let is_child = |pid: u32| {
        let listed = Command::new("ps").args(["-o", "ppid=", "-p", &pid.to_string()]).output();
        let parent = String::from_utf8(listed.expect("ps runs").stdout).expect("digits");
        parent.trim() == record.pid.to_string()
    };
    assert!(is_child(record.children[0]));
    assert!(!is_child(record.children[1]));
}

#[tokio::test]
async fn a_child_can_hold_standard_output_open() {
    let child = Child { hold_stdout: true, ..Child::default() };
    let fake = FakeClaude::new([Take::of([Step::ForkChild(child)])]);
    let mut process = command(&fake, "hold").stdin(Stdio::null()).spawn().expect("the fake can be started");
    let mut stdout = process.stdout.take().expect("it was asked to be a pipe");
    process.wait().await.expect("it ends");

    let mut rest = Vec::new();
    let early = tokio::time::timeout(Duration::from_millis(300), stdout.read_to_end(&mut rest)).await;
    assert!(early.is_err(), "the reader sees no end while the child lives");
    kill_process(raw(fake.records()[0].children[0]), Signal::KILL).expect("it is alive");
    let end = tokio::time::timeout(SOON, stdout.read_to_end(&mut rest)).await;
    end.expect("the end comes with the child's").expect("a pipe can be read");
}

fn pid(process: &tokio::process::Child) -> Pid {
    raw(process.id().expect("it is alive"))
}

fn raw(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("process ids are positive")
}

async fn await_first_byte(process: &mut tokio::process::Child) {
    let stdout = process.stdout.as_mut().expect("it was asked to be a pipe");
    stdout.read_exact(&mut [0]).await.expect("it prints something");
}
