//! A host: a program of its own that runs one request, so that a test can kill it, stop it and measure
//! it. Its `main` is `src/bin/host.rs`.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// What a host shall do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Order {
    /// The CLI.
    pub binary: String,
    /// Variables over the inherited ones.
    pub env: Vec<(String, String)>,
    /// The value of `CLAUDE_JOBS_RUN`.
    pub marker: String,
    /// Further args of the run.
    pub args: serde_json::Map<String, serde_json::Value>,
    /// What the CLI reads.
    pub prompt: String,
    /// The grace of a stopped run.
    pub grace_ms: u64,
    /// For how long the lease is extended, every tenth of that; none means no lease.
    pub lease_ms: Option<u64>,
    /// Whether supervisors are to be made of the host itself.
    pub without_helper: bool,
    /// Whether the program's file is removed before the run starts, as an upgrade does.
    pub without_its_file: bool,
}

/// What a host says at its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// How the run ended.
    pub ending: String,
    /// How many events came.
    pub events: u64,
    /// The most memory that the host ever had, in KiB.
    pub peak_kib: u64,
    /// The same before the run.
    pub before_kib: u64,
}

/// A running host; killed when dropped.
#[derive(Debug)]
pub struct Host {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Host {
    /// Starts a host.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(order: &Order) -> Host {
        Host::start_program(&crate::fake::program("host"), order)
    }

    /// Starts a host from a file of the caller's.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_program(program: &std::path::Path, order: &Order) -> Host {
        let mut process = Command::new(program)
            .arg(serde_json::to_string(order).expect("an order is plain data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the host can be started");
        let lines = BufReader::new(process.stdout.take().expect("it was asked to be a pipe")).lines();
        Host { process, lines }
    }

    /// The path of the host program.
    pub fn program() -> std::path::PathBuf {
        crate::fake::program("host")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the first event of the run has come.
    ///
    /// # Panics
    /// When the host ends before.
    pub fn wait_for_start(&mut self) {
        let line = self.lines.next().expect("the host tells when the run has started");
        assert_eq!(line.expect("it prints text"), "started");
    }

    /// Sends a signal to the host.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("ids are positive"), signal).expect("the host is alive");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it ends without a summary.
    pub fn finish(mut self) -> Summary {
        let last = self.lines.by_ref().map(|line| line.expect("it prints text")).last();
        self.process.wait().expect("it is our child");
        serde_json::from_str(&last.expect("the host prints a summary")).expect("a summary is JSON")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
