//! One run of the real CLI as the product runs it: headless, events on standard output, the prompt
//! on standard input, nothing of this machine in the environment.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::real_claude::RealClaude;

/// No run against the stand-in takes this long; one that does is ended and fails its test.
const LIMIT: Duration = Duration::from_secs(90);

/// The beginning of the command line of every run.
pub const STREAMING: [&str; 4] = ["--print", "--output-format", "stream-json", "--verbose"];

/// A run to be started.
#[derive(Debug, Clone)]
pub struct Invocation<'a> {
    /// The version of the CLI.
    pub claude: RealClaude,
    /// The working directory.
    pub cwd: &'a Path,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// What follows [`STREAMING`] on the command line.
    pub arguments: Vec<String>,
    /// The whole of standard input.
    pub prompt: String,
}

/// A run on its way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Child,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl<'a> Invocation<'a> {
    /// A run with these arguments.
    pub fn new(
        claude: RealClaude,
        cwd: &'a Path,
        env: Vec<(String, String)>,
        arguments: &[&str],
    ) -> Invocation<'a> {
        Invocation {
            claude,
            cwd,
            env,
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            prompt: String::new(),
        }
    }

    /// Starts the run and waits for its end.
    ///
    /// # Panics
    /// When it cannot be started or does not end in time.
    pub async fn run(mut self, prompt: &str) -> Finished {
        prompt.clone_into(&mut self.prompt);
        self.start().finish().await
    }

    /// Starts the run; the prompt is written in the background.
    ///
    /// # Panics
    /// When the CLI cannot be started.
    pub fn start(self) -> Running {
        let mut process = Command::new(self.claude.path())
            .args(STREAMING)
            .args(&self.arguments)
            .current_dir(self.cwd)
            .env_clear()
            .envs(self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the real CLI can be started");
        let mut stdin = process.stdin.take().expect("it was asked to be a pipe");
        tokio::spawn(async move {
            // A CLI that refuses its arguments does not read its input to the end.
            let _ = stdin.write_all(self.prompt.as_bytes()).await;
        });
        Running { process }
    }
}

impl Running {
    /// Sends a signal to the CLI itself.
    ///
    /// # Panics
    /// When the run has ended already.
    pub fn signal(&self, signal: Signal) {
        let pid = self.process.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw).expect("the run is alive");
        kill_process(pid, signal).expect("the run is alive");
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not come in time, or the output is not UTF-8.
    pub async fn finish(self) -> Finished {
        let output = tokio::time::timeout(LIMIT, self.process.wait_with_output())
            .await
            .expect("the run ends in time")
            .expect("its output can be read");
        Finished {
            status: output.status,
            stdout: String::from_utf8(output.stdout).expect("the CLI prints UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("the CLI prints UTF-8"),
        }
    }
}

impl Finished {
    /// The exit code.
    ///
    /// # Panics
    /// When a signal ended the run.
    pub fn exit(&self) -> i32 {
        self.status.code().expect("no signal ended the run")
    }

    /// All events.
    ///
    /// # Panics
    /// When a line of standard output is not JSON.
    pub fn events(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|line| serde_json::from_str(line).expect("every line is a JSON event")).collect()
    }

    /// The events of one type.
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["type"] == kind);
        events
    }

    /// The last `result` event.
    ///
    /// # Panics
    /// When there is none.
    pub fn result(&self) -> Value {
        let last = self.events_of("result").pop();
        last.unwrap_or_else(|| panic!("no result in {self:#?}"))
    }

    /// The assistant event that carries an API error.
    ///
    /// # Panics
    /// When there is none.
    pub fn api_error(&self) -> Value {
        let mut events = self.events_of("assistant").into_iter();
        events
            .find(|event| event["is_api_error_message"] == true)
            .unwrap_or_else(|| panic!("no API error in {self:#?}"))
    }
}
