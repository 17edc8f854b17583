//! `tail`: from another process, while claude prints.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::postgres::database;
use claude_jobs_tests::script::{Step, Take};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Machine, text};

fn says(text: &str) -> Step {
    let block = json!({"type": "text", "text": text});
    Step::Print(json!({"type": "assistant", "message": {"content": [block]}, "session_id": "$SESSION_ID"}))
}

/// Ends it with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Running {
        Running(command.spawn().expect("it starts"))
    }

    /// The lines of JSON that it prints, as they come.
    fn lines(&mut self) -> impl Iterator<Item = Value> {
        let out = self.0.stdout.take().expect("it is piped");
        let read = |line: std::io::Result<String>| {
            serde_json::from_str(&line.expect("a pipe")).expect("each line is JSON")
        };
        BufReader::new(out).lines().map(read)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each event says when it was printed.
fn slow_talker() -> FakeClaude {
    let mut take = Take::success("Done.");
    for _ in 0..12 {
        take = take.then(says("$NOW")).then(Step::SleepMs(150));
    }
    FakeClaude::new([take.then(Step::SleepMs(700))])
}

fn latencies(machine: &Machine) -> Vec<Duration> {
    let id = machine.enqueue("x", &[]);
    let mut tail = Running::start(machine.command(&["tail", &id, "--follow", "--json"]));
    let _work = Running::start(machine.command(&["work"]));
    let mut latencies = Vec::new();
    let mut names = Vec::new();
    for event in tail.lines() {
        names.push(event["event"].as_str().expect("a name").to_owned());
        let printed = event["text"]["text"].as_str().and_then(|text| text.parse::<i64>().ok());
        if let Some(printed) = printed {
            let late = Timestamp::now().as_microsecond() - printed;
            latencies.push(Duration::from_micros(u64::try_from(late).expect("printed before it is shown")));
        }
    }
    assert!(tail.0.wait().expect("it is ours").success(), "it ends with the job, which has completed");
    assert_eq!(
        (names.first().map(String::as_str), names.last().map(String::as_str)),
        (Some("started"), Some("completed"))
    );
    assert_eq!(latencies.len(), 12, "{names:?}");
    println!("shown after {latencies:?}");
    latencies
}

/// On a machine with other things to do one event may be late, and now and then several; that they are late each
/// time is another matter.
fn check(measure: impl Fn() -> Vec<Duration>) {
    let are_shown_in_time = |_| {
        let mut latencies = measure();
        latencies.sort();
        latencies[latencies.len() - 2] < Duration::from_millis(300)
    };
    assert!((0..3).any(are_shown_in_time), "late three times in a row");
}

#[test]
fn shows_what_is_printed_within_300_ms_on_sqlite() {
    check(|| {
        let fake = slow_talker();
        latencies(&Machine::with_claude(&fake.path()))
    });
}

#[test]
fn shows_what_is_printed_within_300_ms_on_postgres() {
    check(|| {
        let (fake, database) = (slow_talker(), database());
        let mut machine = Machine::with_claude(&fake.path());
        machine.set("CLAUDE_JOBS_DATABASE", &database.url());
        latencies(&machine)
    });
}

#[test]
fn a_node_that_dies_leaves_what_it_has_written() {
    let takes = [Take::hang().then(says("my last words")), Take::success("Done.")];
    let fake = FakeClaude::new(takes);
    let machine = Machine::with_claude(&fake.path());
    let id = machine.enqueue("x", &[]);
    let work = Running::start(machine.command(&["work"]));
    let mut tail = Running::start(machine.command(&["tail", &id, "-f", "--json"]));
    let mut lines = tail.lines();
    let is_text = |event: &Value, words: &str| event["text"]["text"] == words;
    assert!(lines.by_ref().any(|event| is_text(&event, "my last words")), "while it runs");
    drop(work);
    let timeline = &machine.show(&id)["timeline"];
    assert!(
        timeline.as_array().expect("a list").iter().any(|event| is_text(event, "my last words")),
        "{timeline}"
    );
    machine.drain();
    let rest: Vec<_> = lines.map(|event| format!("{} {}", event["attempt"], event["event"])).collect();
    assert_eq!(rest[..2], ["1 \"rescued\"", "2 \"started\""]);
    assert_eq!(rest.last().map(String::as_str), Some("2 \"completed\""));
    let shown = text(&machine.run(&["jobs", "show", &id]).stdout);
    assert!(shown.contains("\ntimeline\n") && shown.contains("attempt 1  says: my last words\n"), "{shown}");
    assert!(shown.contains("attempt 2  says: Done.\n"), "{shown}");
}

#[test]
fn ends_with_what_became_of_the_job() {
    let takes = [
        Take::success("Done."),
        Take::startup_failure("error: unknown option '--x'"),
        Take::api_error(Some(529), "server_error", "API Error: 529 Overloaded"),
    ];
    let fake = FakeClaude::new(takes);
    let machine = Machine::with_claude(&fake.path());
    let ids: Vec<_> = (0..3).map(|_| machine.enqueue("x", &["--max-attempts", "1"])).collect();
    assert!(machine.run(&["work", "--drain", "--queue", "default=1"]).status.success());
    for (id, (code, name)) in ids.iter().zip([(0, "completed"), (3, "cancelled"), (1, "failed")]) {
        let output = machine.run(&["tail", id, "--follow"]);
        let out = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{out}");
        assert!(out.lines().last().is_some_and(|line| line.contains(&format!("{id}.1  {name} ("))), "{out}");
        assert_eq!(machine.run(&["tail", id]).status.code(), Some(0), "to look is no failure");
    }
    let output = machine.run(&["tail", "999"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(1), "error: there is no job 999\n".to_owned())
    );
    assert_eq!(machine.run(&["tail", "x"]).status.code(), Some(2));
    assert_eq!(text(&machine.run(&["tail"]).stdout), "", "nothing runs");
}

#[test]
fn follows_all_that_runs() {
    let fake = FakeClaude::new([Take::hang().then(says("I am here"))]);
    let machine = Machine::with_claude(&fake.path());
    let ids = [machine.enqueue("x", &[]), machine.enqueue("y", &[])];
    let mut tail = Running::start(machine.command(&["tail", "--follow", "--json"]));
    let _work = Running::start(machine.command(&["work"]));
    let mut seen = Vec::new();
    for event in tail.lines().filter(|event| event["text"]["text"] == "I am here") {
        seen.push(event["job"].to_string());
        if seen.len() == 2 {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ids);
    let deadline = Instant::now() + Duration::from_secs(20);
    let now = || text(&machine.run(&["tail"]).stdout);
    while now().matches("says: I am here").count() < 2 {
        assert!(Instant::now() < deadline, "{}", now());
    }
}

#[test]
fn no_text_is_a_command_to_the_terminal() {
    let hostile = "\u{1b}]0;owned\u{7}\u{9b}2J\u{0}\r\u{7f} \\ud800";
    let block = json!({"type": "tool_use", "id": hostile, "name": hostile, "input": {"command": hostile}});
    let call = Step::Print(json!({"type": "assistant", "message": {"content": [block]}}));
    let fake = FakeClaude::new([Take::success("Done.").then(says(hostile)).then(call)]);
    let machine = Machine::with_claude(&fake.path());
    let id = machine.enqueue("x", &[]);
    machine.drain();
    for arguments in [vec!["tail", &id], vec!["tail", &id, "--json"], vec!["jobs", "show", &id]] {
        let out = text(&machine.run(&arguments).stdout);
        assert!(out.contains("owned"), "{arguments:?}: {out:?}");
        let raw = out.chars().find(|character| character.is_control() && *character != '\n');
        assert_eq!(raw, None, "{arguments:?}: {out:?}");
    }
    let json = text(&machine.run(&["tail", &id, "--json"]).stdout);
    let said = json.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert!(said.into_iter().any(|event| event["text"]["text"] == hostile), "nothing is lost: {json}");
}
