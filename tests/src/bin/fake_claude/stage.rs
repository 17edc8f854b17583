//! Playing one take: the record first, then the steps in order.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use claude_jobs_tests::record::Record;
use claude_jobs_tests::script::{HANG_LIMIT_SECONDS, SESSION_ID, Script, Step, Take};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;

use crate::{child, fail, placeholders, signals};

/// Claims the next take, plays it and exits.
pub(crate) fn play(script: &Script, records: PathBuf) -> ! {
    let stage = Stage::open(records);
    let Some(take) = nth_take(&script.takes, stage.record(|record| record.take)) else {
        fail("the script has no takes");
    };
    if take.read_stdin {
        stage.read_stdin();
    }
    for step in &take.steps {
        stage.perform(step);
    }
    stage.leave(0)
}

/// Take N for the Nth invocation; the last repeats.
fn nth_take(takes: &[Take], number: usize) -> Option<&Take> {
    takes.get(number - 1).or(takes.last())
}

/// One invocation on its way: its record, and whether it takes SIGTERM.
struct Stage {
    /// Shared with the thread that waits for signals, which notes the end when one comes.
    record: Arc<Mutex<Record>>,
    records: PathBuf,
    ignore_sigterm: Arc<AtomicBool>,
}

impl Stage {
    fn open(records: PathBuf) -> Stage {
        let record =
            Record::start(&records).unwrap_or_else(|error| fail(&format!("cannot record this run: {error}")));
        let record = Arc::new(Mutex::new(record));
        let ignore_sigterm = signals::obey({
            let (record, records) = (record.clone(), records.clone());
            move |code| note_end(&record, &records, Some(code))
        });
        Stage { record, records, ignore_sigterm }
    }

    fn perform(&self, step: &Step) {
        match step {
            Step::Print(event) => {
                print_line(&self.record(|record| placeholders::fill(event, record)));
            }
            Step::PrintRaw(text) => print_bytes(text.as_bytes()),
            Step::EventsFrom(path) => self.print_transcript(path),
            Step::Stderr(text) => drop(io::stderr().write_all(text.as_bytes())),
            Step::SleepMs(millis) => thread::sleep(Duration::from_millis(*millis)),
            Step::AwaitFile(path) => await_file(path),
            Step::ReadStdin => self.read_stdin(),
            Step::ForkChild(child) => {
                let pid = child::start(child).expect("a child can be started");
                self.update(|record| record.children.push(pid));
            }
            Step::Tool(words) => child::start_tool(words).expect("a tool can be started"),
            Step::IgnoreSigterm => self.ignore_sigterm.store(true, Ordering::SeqCst),
            Step::Garbage(bytes) => print_garbage(*bytes),
            Step::FloodMib(mebibytes) => print_flood(*mebibytes),
            Step::CloseStdout => close_stdout(),
            Step::Hang => {
                thread::sleep(Duration::from_secs(HANG_LIMIT_SECONDS));
                fail("nobody ended this hanging run");
            }
            Step::Exit(code) => self.leave(*code),
            Step::KillSelf(signal) => self.die(*signal),
        }
    }

    fn record<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.lock().expect("no holder panics"))
    }

    fn update(&self, change: impl FnOnce(&mut Record)) {
        let mut record = self.record.lock().expect("no holder panics");
        change(&mut record);
        record.save(&self.records).expect("the folder is still there");
    }

    fn read_stdin(&self) {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).expect("standard input can be read");
        self.update(|record| {
            record.stdin_bytes = Some(bytes.len());
            record.stdin = Some(String::from_utf8_lossy(&bytes).into_owned());
        });
    }

    fn print_transcript(&self, path: &Path) {
        let text = fs::read_to_string(path)
            .unwrap_or_else(|error| fail(&format!("cannot read `{}`: {error}", path.display())));
        let events = self.record(|record| placeholders::fill_transcript(&text, record));
        for event in events.unwrap_or_else(|error| fail(&format!("bad transcript: {error}"))) {
            print_line(&event);
        }
    }

    fn leave(&self, code: i32) -> ! {
        note_end(&self.record, &self.records, Some(code));
        exit(code)
    }

    /// Restores the default action, which our own handler had taken over, and raises the signal.
    fn die(&self, signal: i32) -> ! {
        note_end(&self.record, &self.records, None);
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        if let Some(signal) = Signal::from_named_raw(signal) {
            let _ = kill_process(getpid(), signal);
        }
        fail("the signal did not end this process")
    }
}

/// The folder may be gone when a test ends first; a dying run has nobody left to tell.
fn note_end(record: &Mutex<Record>, records: &Path, exit: Option<i32>) {
    let mut record = record.lock().expect("no holder panics");
    record.end(exit);
    let _ = record.save(records);
}

/// Like the real CLI, goes on when nobody reads any more.
fn print_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn print_line(event: &serde_json::Value) {
    print_bytes(format!("{event}\n").as_bytes());
}

/// Bytes from a fixed sequence (Knuth's multiplier), so that a failure can be repeated.
fn print_garbage(length: usize) {
    let mut state: u64 = 0x5DEE_CE66;
    let bytes: Vec<u8> = (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    print_bytes(&bytes);
}

fn print_flood(mebibytes: usize) {
    let event = json!({
        "type": "assistant",
        "message": {
            "id": "msg_flood", "type": "message", "role": "assistant", "model": "flood",
            "content": [{ "type": "text", "text": "x".repeat(1024) }],
        },
        "parent_tool_use_id": null,
        "session_id": SESSION_ID,
    });
    let line = format!("{event}\n");
    for _ in 0..(mebibytes * 1024 * 1024).div_ceil(line.len()) {
        print_bytes(line.as_bytes());
    }
}

fn close_stdout() {
    let nothing = File::options().write(true).open("/dev/null");
    let nothing = nothing.expect("/dev/null can be opened");
    rustix::stdio::dup2_stdout(nothing).expect("descriptor 1 can be replaced");
}

fn await_file(path: &Path) {
    let polls = HANG_LIMIT_SECONDS * 100;
    for _ in 0..polls {
        if path.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    fail(&format!("`{}` never appeared", path.display()));
}
