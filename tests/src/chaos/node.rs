//! A node: a runtime in a process of its own, to be killed, stopped and started again. Its `main` is
//! `src/bin/node.rs`.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::sandbox::processes_with_env;

/// The variable that tells which fleet a process belongs to; its runs inherit it.
pub const FLEET: &str = "CLAUDE_JOBS_TEST_FLEET";

/// The variable that makes a fake `claude` with a journal hide which run it is.
pub const HIDE: &str = "CLAUDE_JOBS_TEST_HIDE";

/// What a node shall do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The database.
    pub url: String,
    /// The CLI.
    pub claude: PathBuf,
    /// The lease, in seconds.
    pub lease_s: u64,
    /// How many jobs of the queue `chaos` it runs at once.
    pub concurrency: u32,
    /// How far its clock is ahead, in seconds.
    pub clock_ahead_s: i64,
    /// Whether its runs cannot be found by their environment, as those of another machine. Only for nodes
    /// that are never killed: their supervisors are found all the same.
    pub hides_runs: bool,
    /// As long as this file is there, the machine has no memory for another run.
    pub out_of_memory: Option<PathBuf>,
}

/// A node's place: the process may die and be started again, the log goes on. Killed when dropped.
#[derive(Debug)]
pub struct Node {
    order: Order,
    fleet: String,
    log: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Starts a node of this fleet, which logs to this file.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(order: Order, fleet: &str, log: PathBuf) -> Node {
        let mut node = Node { order, fleet: fleet.to_owned(), log, process: None };
        node.revive();
        node
    }

    /// Starts the process, after it was killed.
    ///
    /// # Panics
    /// When it cannot be started, or runs.
    pub fn revive(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a writable folder");
        let process = Command::new(crate::fake::program("node"))
            .arg(serde_json::to_string(&self.order).expect("an order is plain data"))
            .env("HOME", self.log.with_file_name("home"))
            .env(FLEET, &self.fleet)
            .envs(self.order.hides_runs.then_some((HIDE, "1")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("the node can be started"));
    }

    /// SIGKILL to the node's own process.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended, which it never does by itself.
    pub fn signal(&mut self, signal: Signal) {
        kill_process(self.process(), signal).expect("it is alive");
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended, which it never does by itself.
    pub fn process(&mut self) -> Pid {
        let process = self.process.as_mut().expect("it was started");
        let ended = process.try_wait().expect("it is our child");
        assert!(ended.is_none(), "the node has ended by itself: {ended:?}\n{}", tail(&self.log));
        Pid::from_child(process)
    }

    /// Ends it in order.
    ///
    /// # Panics
    /// When it does not end within `deadline`, or not well.
    pub fn end(&mut self, deadline: Duration) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        let process = self.process.as_mut().expect("it was started");
        let status = loop {
            match process.try_wait().expect("it is our child") {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
            assert!(start.elapsed() < deadline, "the node does not end:\n{}", tail(&self.log));
        };
        assert!(status.success(), "{status}: {}", tail(&self.log));
        self.process = None;
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process id.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// A name for the processes of one test, which ends all of them when it is dropped.
#[derive(Debug)]
pub struct Fleet(String);

impl Fleet {
    /// A name that no other fleet has.
    pub fn new() -> Fleet {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Fleet(format!("{}.{number}", std::process::id()))
    }

    /// The value of [`FLEET`].
    pub fn name(&self) -> &str {
        &self.0
    }

    /// The live processes: nodes, supervisors, runs and what these have started.
    pub fn processes(&self) -> Vec<u32> {
        processes_with_env(&format!("{FLEET}={}", self.0))
    }
}

impl Default for Fleet {
    fn default() -> Fleet {
        Fleet::new()
    }
}

impl Drop for Fleet {
    /// Supervisors end their runs when the nodes are gone; whoever is late is killed.
    fn drop(&mut self) {
        let start = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            if start.elapsed() > Duration::from_secs(10) {
                for pid in left.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            if start.elapsed() > Duration::from_secs(20) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
