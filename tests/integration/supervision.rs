//! Every end of a run leaves no process behind.
//!
//! A run's processes are known by their environment: `CLAUDE_JOBS_RUN=<marker>`, a marker that only one
//! run of one test has.

mod bombs;
mod fallback;
mod ledger;
mod policies;
mod real;
mod roles;
mod status;
mod storm;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use claude_jobs::claude::{Claude, ClaudeCli, ClaudeCliBuilder, Request, Stop, Supervision};
use claude_jobs::options::{ArgMap, Options};
use claude_jobs::outcome::Report;
use claude_jobs_tests::sandbox::{processes_with_env, wait_until};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// No process of a run may be there so long after its end.
const LIMIT: Duration = Duration::from_secs(5);

/// Nothing that a test waits for takes this long.
const SOON: Duration = Duration::from_secs(20);

/// A marker that no other run has.
fn new_marker() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    format!("{}{:05}.1", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst))
}

/// The processes of a run.
fn processes(marker: &str) -> Vec<u32> {
    processes_with_env(&format!("CLAUDE_JOBS_RUN={marker}"))
}

/// How long it takes until none of the run's processes is left.
async fn gone(marker: &str, limit: Duration) -> Duration {
    let start = Instant::now();
    let mut left = processes(marker);
    while !left.is_empty() {
        assert!(start.elapsed() < limit, "after {limit:?} these are alive: {}", describe(&left));
        tokio::time::sleep(Duration::from_millis(5)).await;
        left = processes(marker);
    }
    start.elapsed()
}

fn describe(ids: &[u32]) -> String {
    let shown = ids.iter().map(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        format!("{id} {}", String::from_utf8_lossy(&line).replace('\0', " "))
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// The name of a process as the kernel has it, and its parent.
fn name_and_parent(id: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    Some((name.to_owned(), rest.split_whitespace().nth(1)?.parse().ok()?))
}

/// The process of a run that has this name.
fn named(marker: &str, name: &str) -> Option<u32> {
    let is_it = |id: &u32| name_and_parent(*id).is_some_and(|(its, _)| its == name);
    processes(marker).into_iter().find(is_it)
}

/// What front and supervisor of a run are made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Made {
    OfTheHelper,
    /// The program that runs it (this one, here) is started again.
    OfTheHost,
}

const MADE: [Made; 2] = [Made::OfTheHelper, Made::OfTheHost];

impl Made {
    fn apply(self, builder: ClaudeCliBuilder) -> ClaudeCliBuilder {
        match self {
            Made::OfTheHelper => builder,
            Made::OfTheHost => builder.without_helper(),
        }
    }

    /// The program, as a child of this process finds it.
    fn program(self) -> PathBuf {
        if self == Made::OfTheHost {
            return "/proc/self/exe".into();
        }
        assert_eq!(ClaudeCli::default().supervision(), Supervision::Supervisor);
        let open = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").flatten();
        let is_helper = |path: &PathBuf| {
            std::fs::read_link(path).is_ok_and(|file| file.starts_with("/memfd:claude-jobs (deleted)"))
        };
        open.map(|entry| entry.path()).find(is_helper).expect("it is kept open")
    }
}

const FRONT: &str = "claude-jobs-run";
const SUPERVISOR: &str = "claude-jobs-sup";

/// A run on its way in this process.
struct Running {
    marker: String,
    stop: Stop,
    report: JoinHandle<Report>,
    /// Told at every event.
    event: Arc<Notify>,
}

/// A request for a run.
struct Start {
    binary: PathBuf,
    prompt: String,
    grace: Duration,
    idle: Option<Duration>,
    env: Vec<(String, String)>,
    args: ArgMap,
    made: Made,
    by_process_group: bool,
}

impl Start {
    fn of(binary: impl AsRef<Path>) -> Start {
        Start {
            binary: binary.as_ref().to_owned(),
            prompt: "Hello.".to_owned(),
            grace: Duration::from_secs(1),
            idle: None,
            env: Vec::new(),
            args: ArgMap::new(),
            made: Made::OfTheHelper,
            by_process_group: false,
        }
    }

    /// With front and supervisor made so.
    fn made(mut self, made: Made) -> Start {
        self.made = made;
        self
    }

    /// Without a supervisor.
    fn by_process_group(mut self) -> Start {
        self.by_process_group = true;
        self
    }

    fn request(&self, marker: &str) -> (ClaudeCli, Request) {
        let builder = ClaudeCli::builder().binary(self.binary.to_str().expect("UTF-8")).grace(self.grace);
        let mut builder = self.made.apply(builder);
        for (name, value) in &self.env {
            builder = builder.env(name, value);
        }
        if self.by_process_group {
            builder = builder.by_process_group();
        }
        let prompt = ArgMap::new().prompt(&self.prompt);
        let mut options = Options::merge([&self.args, &prompt]).expect("the options are valid");
        options.idle_timeout = self.idle;
        let mut request = Request::new(options);
        request.marker = Some(marker.to_owned());
        (builder.build(), request)
    }

    fn go(self) -> Running {
        let marker = new_marker();
        let (claude, mut request) = self.request(&marker);
        let event = Arc::new(Notify::new());
        request.observer = Some(Arc::new({
            let event = Arc::clone(&event);
            move |_| event.notify_one()
        }));
        let stop = request.stop.clone();
        let report = tokio::spawn(async move { claude.run(request).await.expect("a report") });
        Running { marker, stop, report, event }
    }

    async fn run(self) -> (Report, String) {
        let running = self.go();
        let marker = running.marker.clone();
        (running.finish().await, marker)
    }
}

impl Running {
    async fn finish(self) -> Report {
        let report = tokio::time::timeout(SOON * 3, self.report).await;
        report.expect("the run ends in time").expect("it does not panic")
    }

    /// Waits for the first event.
    async fn started(&self) {
        tokio::time::timeout(SOON, self.event.notified()).await.expect("the run starts");
    }

    async fn wait_for(&self, name: &str) -> u32 {
        wait_until(SOON, name, || named(&self.marker, name).is_some()).await;
        named(&self.marker, name).expect("it was there just now")
    }
}
