//! What a fake `claude` does when it is run: the script file, as one set of types.
//!
//! Written by [`FakeClaude`](crate::fake::FakeClaude), read by the `fake_claude` binary. It knows
//! nothing of processes or of how a step is performed.

use std::path::PathBuf;

use claude_jobs::claude::NEWEST_TESTED;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version line that `--version` prints unless the script says otherwise.
pub fn version() -> String {
    format!("{NEWEST_TESTED} (Claude Code)")
}

/// The session id used when neither `--session-id` nor `--resume` is on the command line.
pub const SESSION_ID: &str = "5e551011-0000-4000-8000-000000000000";

/// The first word on the command line of a process that [`Step::ForkChild`] started.
pub const CHILD_COMMAND: &str = "__child";

/// Everything one fake `claude` will do, over all its invocations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Folder of the records; `FAKE_CLAUDE_RECORD` wins, `<script file>.records` is the default.
    pub record: Option<PathBuf>,
    /// The answer to `--version`.
    pub version: Answer,
    /// The answer to `auth status`.
    pub auth: Answer,
    /// Take N is played by the Nth invocation; the last one repeats.
    pub takes: Vec<Take>,
    /// Folder of a [`Journal`](crate::chaos::journal::Journal) for thousands of runs: as long as there are no
    /// takes, each run does what its prompt says.
    pub journal: Option<PathBuf>,
}

/// A fixed answer to a question that uses up no take.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Printed with a newline; none means the real CLI's usual answer.
    pub stdout: Option<String>,
    /// The exit code.
    pub exit: i32,
}

/// What one invocation does, step by step; it exits with 0 after the last step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Take {
    /// Whether standard input is read to its end before the first step.
    pub read_stdin: bool,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Default for Take {
    fn default() -> Self {
        Take { read_stdin: true, steps: Vec::new() }
    }
}

/// One thing that a fake `claude` does.
///
/// In [`Print`](Step::Print) and [`EventsFrom`](Step::EventsFrom), `$SESSION_ID`, `$CWD`, `$NOW`
/// and `$PROMPT` stand for the session id of the command line, the working directory, the moment of printing (in
/// microseconds since 1970) and the text of standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Prints one JSON event and a newline.
    Print(Value),
    /// Prints these characters as they are, without a newline.
    PrintRaw(String),
    /// Prints the lines of a recorded transcript, with its session id replaced by this run's.
    EventsFrom(PathBuf),
    /// Writes these characters to standard error as they are.
    Stderr(String),
    /// Waits for this many milliseconds.
    SleepMs(u64),
    /// Waits until this file exists, so that a test can release the run when it is ready.
    AwaitFile(PathBuf),
    /// Reads standard input to its end; for a take with `read_stdin: false`.
    ReadStdin,
    /// Starts a process that outlives this one unless somebody ends it.
    ForkChild(Child),
    /// Starts this command as a tool: a program and its arguments, with no streams. It goes on
    /// unattended.
    Tool(Vec<String>),
    /// From here on SIGTERM does nothing.
    IgnoreSigterm,
    /// Prints this many bytes that are neither UTF-8 nor JSON.
    Garbage(usize),
    /// Prints this many MiB of valid assistant events.
    FloodMib(usize),
    /// Closes standard output; the reader sees its end while the process lives on.
    CloseStdout,
    /// Never goes on. Gives up after [`HANG_LIMIT_SECONDS`] so that nothing is left behind.
    Hang,
    /// Exits with this code.
    Exit(i32),
    /// Ends itself by this signal number, leaving the default action to the kernel.
    KillSelf(i32),
}

/// How long [`Step::Hang`] lasts when nobody ends it.
pub const HANG_LIMIT_SECONDS: u64 = 120;

/// A process that a fake `claude` leaves running, as the real CLI's tools do: in its own session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Child {
    /// How long it lives unless it is ended.
    pub sleep_ms: u64,
    /// SIGTERM, SIGINT and SIGHUP do nothing.
    pub ignore_signals: bool,
    /// Forks twice, so that its parent is init or the nearest subreaper.
    pub daemonise: bool,
    /// Keeps the run's standard output open, so that its reader sees no end.
    pub hold_stdout: bool,
}

impl Default for Child {
    fn default() -> Self {
        Child {
            sleep_ms: HANG_LIMIT_SECONDS * 1000,
            ignore_signals: false,
            daemonise: false,
            hold_stdout: false,
        }
    }
}
