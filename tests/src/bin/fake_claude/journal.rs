//! A run that its prompt describes and a journal tells: cheap, for thousands of them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, exit};
use std::thread;
use std::time::Duration;

use claude_jobs_tests::chaos::journal::{Event, Journal};
use claude_jobs_tests::chaos::node::HIDE;
use claude_jobs_tests::script::{Child, SESSION_ID};
use serde_json::{Value, json};

use crate::{child, fail};

/// Tells which run a process belongs to, and where that is kept from whoever looks for it.
const RUN: &str = "CLAUDE_JOBS_RUN";
const HIDDEN_RUN: &str = "CLAUDE_JOBS_TEST_RUN";

/// Plays `<milliseconds> <whether it starts a tool> <answer>`, and ends as the real CLI does.
pub(crate) fn play(folder: &Path) -> ! {
    let run = std::env::var(RUN).or_else(|_| std::env::var(HIDDEN_RUN));
    let run = run.unwrap_or_else(|_| fail("this is no run of a job"));
    if std::env::var_os(HIDE).is_some() {
        hide(&run);
    }
    let mut prompt = String::new();
    io::stdin().read_to_string(&mut prompt).unwrap_or_else(|error| fail(&format!("no prompt: {error}")));
    let (session, prompt) = remembered(prompt);
    let journal = Journal::new(folder.to_owned());
    let lock = journal.start(&run).unwrap_or_else(|error| fail(&format!("no journal: {error}")));
    let mut words = prompt.split_whitespace();
    let (Some(Ok(millis)), Some(tool), Some(answer)) =
        (words.next().map(str::parse), words.next(), words.next())
    else {
        fail(&format!("a prompt that says nothing: `{prompt}`"))
    };

    print(&json!({ "type": "system", "subtype": "init", "session_id": session }));
    if tool == "true" {
        start_tool(&lock);
    }
    thread::sleep(Duration::from_millis(millis));
    // Before the print: what anybody takes for a success has its end in the journal.
    journal.note(&run, Event::End).unwrap_or_else(|error| fail(&format!("no journal: {error}")));
    print(&json!({
        "type": "result", "subtype": "success", "is_error": false, "num_turns": 1, "result": answer,
        "session_id": session,
        "model_usage_since_last_result": {"fake": {"costUSD": 0.01, "inputTokens": 1, "outputTokens": 1}},
    }));
    exit(0)
}

/// Goes on as a process whose environment does not tell the run.
fn hide(run: &str) -> ! {
    let this = std::env::current_exe().unwrap_or_else(|error| fail(&format!("no program: {error}")));
    let mut command = Command::new(this);
    command.args(std::env::args_os().skip(1)).env_remove(RUN).env_remove(HIDE).env(HIDDEN_RUN, run);
    let error = command.exec();
    fail(&format!("cannot start over: {error}"))
}

/// A daemon that shares the lock: the job is not free before it is gone too.
fn start_tool(lock: &File) {
    rustix::io::fcntl_setfd(lock, rustix::io::FdFlags::empty()).expect("it is open");
    child::start(&Child { daemonise: true, ..Child::default() }).expect("a child can be started");
}

/// The session of this run, and what it is about: the prompt with which it was begun.
fn remembered(prompt: String) -> (String, String) {
    let after = |flag: &str| std::env::args().skip_while(|word| word != flag).nth(1);
    let home = std::env::var("HOME").unwrap_or_else(|_| fail("a session has its place in HOME"));
    // As the real CLI names them.
    let project = Path::new(&home).join(".claude/projects/fake");
    let place = |session: &str| project.join(format!("{session}.jsonl"));
    if let Some(session) = after("--resume") {
        let Ok(begun) = fs::read_to_string(place(&session)) else {
            eprintln!("No conversation found with session ID: {session}");
            exit(1)
        };
        return (session, begun);
    }
    // Whoever was to write it has died.
    if prompt.is_empty() {
        eprintln!(
            "Error: Input must be provided either through stdin or as a prompt argument when using --print"
        );
        exit(1)
    }
    let session = after("--session-id").unwrap_or_else(|| SESSION_ID.to_owned());
    let draft = project.join(format!("{session}.{}", std::process::id()));
    let kept = fs::create_dir_all(&project)
        .and_then(|()| fs::write(&draft, &prompt))
        .and_then(|()| fs::rename(&draft, place(&session)));
    kept.unwrap_or_else(|error| fail(&format!("no session: {error}")));
    (session, prompt)
}

/// Like the real CLI, goes on when nobody reads any more.
fn print(event: &Value) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{event}").and_then(|()| stdout.flush());
}
