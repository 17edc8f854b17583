//! The kill matrix through the queue, with the fake and with the real CLI: what a tool leaves running ×
//! how the run ends, with the state, the reason and the ledger row of the job afterwards.

use std::path::PathBuf;
use std::process::{Child as Process, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use claude_jobs::claude::ClaudeCli;
use claude_jobs::notice::Notice;
use claude_jobs::prelude::*;
use claude_jobs::queue::JobDetails;
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::on_each_claude;
use claude_jobs_tests::real_claude::RealClaude;
use claude_jobs_tests::sandbox::{processes_with_env, wait_until};
use claude_jobs_tests::script::{Child, Step, Take};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Semaphore, oneshot, watch};

use super::real::{LEFT, Scene};
use super::{LIMIT, Made, SOON, describe};
use crate::frozen::freeze;
use crate::workers::{Obedient, Place};

/// The shortest lease: a paused runtime loses its jobs after that.
const LEASE: Duration = Duration::from_secs(12);

on_each_claude! { async every_end_of_the_real_cli_leaves_no_process_and_the_right_row }

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Normal,
    Timeout,
    IdleTimeout,
    /// In place of it where a tool is seen to be under way.
    ToolTimeout,
    Cancel,
    Drain,
    HandlerPanic,
    RuntimeDropped,
    RuntimeKilled,
    RuntimePaused,
}

const ENDS: [End; 9] = [
    End::Normal,
    End::Timeout,
    End::IdleTimeout,
    End::Cancel,
    End::Drain,
    End::HandlerPanic,
    End::RuntimeDropped,
    End::RuntimeKilled,
    End::RuntimePaused,
];

impl End {
    /// The job's state, what its reason starts with, the first run's outcome and ending. Of a runtime
    /// that is dropped, killed or paused: after another one has taken the job over.
    fn expected(self) -> (State, &'static str, &'static str, &'static str) {
        match self {
            End::Normal => (State::Completed, "", "success", "exit 0"),
            End::Timeout => (State::Scheduled, "timeout: ", "timeout", "stopped: timeout"),
            End::IdleTimeout => (State::Scheduled, "idle_timeout: ", "idle_timeout", "stopped: idle timeout"),
            End::ToolTimeout => (State::Scheduled, "tool_timeout: ", "tool_timeout", "stopped: tool timeout"),
            End::Cancel => (State::Cancelled, "cancelled on request", "cancelled", "stopped: cancel"),
            End::Drain => (State::Available, "interrupted: ", "shutdown", "stopped: shutdown"),
            End::HandlerPanic => (State::Retryable, "handler: ", "success", "exit 0"),
            End::RuntimeDropped | End::RuntimeKilled | End::RuntimePaused => {
                (State::Completed, "", "lost", "lost")
            }
        }
    }

    /// The end of this kind for that CLI.
    fn with(self, is_real: bool) -> Self {
        if is_real && self == End::IdleTimeout { End::ToolTimeout } else { self }
    }

    /// Whether claude answers by itself.
    fn is_answered(self) -> bool {
        matches!(self, End::Normal | End::HandlerPanic)
    }
}

/// What a tool may leave running: the rows of the matrices.
pub(super) fn children() -> [(&'static str, Child); 4] {
    [
        ("plain", Child::default()),
        ("stubborn", Child { ignore_signals: true, ..Child::default() }),
        ("daemon", Child { daemonise: true, ..Child::default() }),
        ("holds stdout", Child { hold_stdout: true, ignore_signals: true, ..Child::default() }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_leaves_no_process_and_the_right_row() {
    let rows = children().map(|(name, child)| (name, move |end| Cli::fake(end, child.clone())));
    matrix("fake CLI", rows, 36, Made::OfTheHelper).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_when_the_host_is_its_own_supervisor() {
    let rows = children().map(|(name, child)| (name, move |end| Cli::fake(end, child.clone())));
    matrix("fake CLI, host", rows, 36, Made::OfTheHost).await;
}

async fn every_end_of_the_real_cli_leaves_no_process_and_the_right_row(claude: RealClaude) {
    let rows = LEFT.map(|(name, left)| (name, move |end| Cli::real(claude, end, left)));
    matrix(&format!("real CLI {}", claude.supported()), rows, 5, Made::OfTheHelper).await;
}

/// Claude has answered, and its process stays: for a hook that is slow, or because it hangs. However that ends, the
/// answer is paid for, and is not asked for again.
#[tokio::test]
async fn an_answer_is_kept_whose_process_stays() {
    for end in [End::Timeout, End::IdleTimeout, End::Drain] {
        let place = Place::new().await;
        let mut take = Take::success("done");
        take.steps.retain(|step| !matches!(step, Step::Exit(_)));
        take.steps.push(Step::Hang);
        let fake = FakeClaude::new([take]);
        let mut job = Obedient::new("complete".to_owned()).max_attempts(1);
        match end {
            End::Timeout => job = job.timeout(Duration::from_secs(2)),
            End::IdleTimeout => job = job.idle_timeout(Duration::from_secs(2)),
            _ => {}
        }
        let job = job.insert(&place.queue).await.expect("valid").id();
        let claude = ClaudeCli::builder().binary(fake.path().display().to_string()).build();
        let (seen, answered) = watch::channel(false);
        let runtime =
            Runtime::builder(place.queue.clone()).queue("tests", 1).claude(claude).on_notice(move |notice| {
                if let Notice::Progress { event, .. } = notice {
                    seen.send_if_modified(|seen| std::mem::replace(seen, event["type"] == "result") != *seen);
                }
            });
        let is_over = async {
            let mut answered = answered;
            answered.wait_for(|answered| *answered).await.expect("it runs");
            let is_final =
                || async { place.queue.get(job).await.expect("a read").expect("there").state.is_final() };
            while end != End::Drain && !is_final().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, runtime.grace(Duration::from_millis(10)).run_until(is_over))
            .await
            .expect("it ends")
            .expect("it runs");
        let details = place.queue.details(job).await.expect("there");
        let run = &details.runs[0];
        assert_eq!(
            (details.job.state, run.outcome.as_str()),
            (State::Completed, "success"),
            "{end:?}: {run:?}"
        );
        assert!(
            run.cost_usd.is_some_and(|cost| cost > 0.0) && run.result.as_deref() == Some("done"),
            "{run:?}"
        );
        assert!(run.ending.starts_with("stopped: "), "{run:?}");
        assert_eq!((details.runs.len(), fake.records().len()), (1, 1), "{end:?}");
    }
}

/// Runs all cells, so many at once, and prints how long each took from the cause of the end to the last
/// process.
async fn matrix<Row: Fn(End) -> Cli>(
    title: &str,
    rows: [(&'static str, Row); 4],
    at_once: usize,
    made: Made,
) {
    let mut bystander = tokio::process::Command::new("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("sleep exists");
    let places = Arc::new(Semaphore::new(at_once));
    let rows = rows.map(|(name, cli)| {
        let cells = ENDS.map(|end| {
            let (places, cli) = (Arc::clone(&places), cli(end));
            let end = end.with(matches!(cli, Cli::Real(_)));
            tokio::spawn(async move {
                let _place = places.acquire_owned().await.expect("it is never closed");
                cell(end, cli, made).await
            })
        });
        (name, cells)
    });
    println!("{title:14}{}", ENDS.map(|end| format!("{:>16}", format!("{end:?}"))).concat());
    for (name, cells) in rows {
        let mut line = format!("{name:14}");
        for cell in cells {
            line += &format!("{:>13} ms", cell.await.expect("the cell holds").as_millis());
        }
        println!("{line}");
    }
    assert!(bystander.try_wait().expect("it is ours").is_none(), "a bystander was touched");
}

async fn cell(end: End, cli: Cli, made: Made) -> Duration {
    let stage = Stage { place: Place::new().await, cli, made, tag: new_tag() };
    let job = stage.insert(end).await;
    let took = match end {
        End::RuntimeDropped => stage.dropped().await,
        End::RuntimeKilled => stage.killed().await,
        End::RuntimePaused => stage.paused().await,
        _ => stage.ended(end, job).await,
    };
    let details = stage.place.queue.details(job).await.expect("there");
    check(end, &details);
    took
}

/// The CLI of a cell: its first run leaves something running, its second one answers.
enum Cli {
    Fake(FakeClaude),
    Real(Scene),
}

impl Cli {
    fn fake(end: End, child: Child) -> Cli {
        let first = if end.is_answered() { Take::success("Done.") } else { Take::hang() };
        Cli::Fake(FakeClaude::new([first.then(Step::ForkChild(child)), Take::success("At last.")]))
    }

    fn real(claude: RealClaude, end: End, left: &str) -> Cli {
        Cli::Real(Scene::new(claude, left, end.is_answered()))
    }

    fn binary(&self) -> PathBuf {
        match self {
            Cli::Fake(fake) => fake.path(),
            Cli::Real(scene) => scene.claude.path(),
        }
    }

    fn env(&self) -> &[(String, String)] {
        match self {
            Cli::Fake(_) => &[],
            Cli::Real(scene) => &scene.env,
        }
    }

    /// How long a run may take that is to be ended for its time: it must get as far as its tool.
    fn timeout(&self) -> Duration {
        match self {
            Cli::Fake(_) => Duration::from_secs(4),
            Cli::Real(_) => Duration::from_secs(20),
        }
    }

    /// Whether the tool is there whose leavings are to be ended.
    fn has_tool(&self, tag: &str) -> bool {
        match self {
            Cli::Fake(fake) => fake.records().first().is_some_and(|record| record.children.len() == 1),
            Cli::Real(scene) => scene.tool_was_started() && !processes_with_env(&tagged(tag)).is_empty(),
        }
    }
}

fn tagged(tag: &str) -> String {
    format!("CLAUDE_JOBS_TEST={tag}")
}

fn check(end: End, details: &JobDetails) {
    let (state, reason, outcome, ending) = end.expected();
    let said = details.job.reason.as_deref().unwrap_or_default();
    assert!(details.job.state == state && said.starts_with(reason), "{end:?}: {:?}", details.job);
    let run = &details.runs[0];
    assert_eq!((run.outcome.as_str(), run.ending.as_str()), (outcome, ending), "{end:?}: {details:?}");
    assert!(run.session_id.is_some(), "{end:?}: the session is known, whatever the end");
    assert_eq!(run.cost_usd.is_some(), end.is_answered(), "{end:?}: unknown is not zero");
    if !matches!(end, End::RuntimeDropped | End::RuntimeKilled | End::RuntimePaused) {
        assert!(run.last_events[0].starts_with("system/init"), "{end:?}: {:?}", run.last_events);
        assert_eq!(run.environment["DISABLE_AUTOUPDATER"], "1");
        assert_eq!(details.runs.len(), 1, "{end:?}");
    }
}

/// What tells the processes of one cell from all others.
fn new_tag() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst))
}

struct Stage {
    place: Place,
    cli: Cli,
    made: Made,
    tag: String,
}

impl Stage {
    async fn insert(&self, end: End) -> JobId {
        let order = if end == End::HandlerPanic { "panic" } else { "complete" };
        let mut job = Obedient::new(order.to_owned()).max_attempts(3);
        match end {
            End::Timeout => job = job.timeout(self.cli.timeout()),
            End::IdleTimeout => job = job.idle_timeout(self.cli.timeout()),
            End::ToolTimeout => job = job.tool_timeout(self.cli.timeout()),
            _ => {}
        }
        let mut job = job.into_new_job().expect("plain fields");
        if let Cli::Real(scene) = &self.cli {
            job.args = job.args.overlaid_with(&scene.args);
        }
        self.place.queue.insert(job).await.expect("valid").id()
    }

    fn claude(&self) -> ClaudeCli {
        let binary = self.cli.binary();
        let builder = ClaudeCli::builder().binary(binary.to_str().expect("UTF-8"));
        let builder = self.made.apply(builder).env("CLAUDE_JOBS_TEST", &self.tag);
        self.cli.env().iter().fold(builder, |builder, (name, value)| builder.env(name, value)).build()
    }

    /// An end while the runtime of this process lives on.
    async fn ended(&self, end: End, job: JobId) -> Duration {
        let (stop, stopped) = oneshot::channel::<()>();
        let mut stop = Some(stop);
        let runtime = Runtime::builder(self.place.queue.clone()).queue("tests", 1).claude(self.claude());
        let runtime =
            runtime.grace(Duration::from_millis(10)).run_until(async { stopped.await.unwrap_or(()) });
        let runtime = tokio::spawn(runtime);
        self.child_is_there().await;
        let cause = Instant::now();
        match end {
            End::Cancel => drop(self.place.queue.cancel(job).await.expect("it runs")),
            End::Drain => drop(stop.take()),
            _ => {}
        }
        let deadline = Instant::now() + self.cli.timeout() + SOON;
        while self.place.queue.get(job).await.expect("a read").expect("there").state == State::Executing {
            assert!(Instant::now() < deadline, "{end:?}: never settled");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.gone(LIMIT).await;
        let took = cause.elapsed();
        drop(stop);
        runtime.await.expect("no panic").expect("it runs");
        took
    }

    /// Its future is dropped; another runtime takes the job over once the lease is over.
    async fn dropped(&self) -> Duration {
        let runtime = Runtime::builder(self.place.queue.clone()).queue("tests", 1).claude(self.claude());
        let runtime = tokio::spawn(runtime.lease(LEASE).run_until(std::future::pending()));
        self.child_is_there().await;
        let cause = Instant::now();
        runtime.abort();
        self.gone(LIMIT).await;
        let took = cause.elapsed();
        self.take_over().await;
        took
    }

    async fn killed(&self) -> Duration {
        let mut worker = self.worker();
        self.child_is_there().await;
        let cause = Instant::now();
        worker.kill().expect("it is ours");
        self.gone(LIMIT).await;
        let took = cause.elapsed();
        worker.wait().expect("it is ours");
        let again = jiff::Timestamp::now();
        self.take_over().await;
        let lost = &self.place.queue.details(JobId(1)).await.expect("the only job").runs[0];
        let waited = Duration::try_from(lost.finished_at.duration_since(again)).expect("it was lost later");
        assert!(waited < LEASE * 2 / 3, "a dead process is seen to be dead without its lease: {waited:?}");
        took
    }

    /// SIGSTOP for longer than the lease; when it wakes it settles nothing.
    async fn paused(&self) -> Duration {
        let mut worker = self.worker();
        self.child_is_there().await;
        let id = Pid::from_child(&worker);
        let cause = Instant::now();
        freeze(id, &self.place.url()).await;
        let takes_over = self.take_over();
        let gone = async {
            // The front is the stopped worker's child, and stays its zombie.
            self.gone(LEASE).await;
            cause.elapsed()
        };
        let ((), took) = tokio::join!(takes_over, gone);
        kill_process(id, Signal::CONT).expect("it is ours");
        tokio::time::sleep(Duration::from_secs(1)).await;
        kill_process(id, Signal::TERM).expect("it is ours");
        assert!(worker.wait().expect("it is ours").success());
        took
    }

    /// A runtime in a process of its own.
    fn worker(&self) -> Process {
        Command::new(env!("CARGO_BIN_EXE_worker"))
            .args([self.place.url().as_str(), self.cli.binary().to_str().expect("UTF-8")])
            .arg(LEASE.as_secs().to_string())
            .args((self.made == Made::OfTheHost).then_some("without-helper"))
            .envs(self.cli.env().iter().cloned())
            .env("CLAUDE_JOBS_TEST", &self.tag)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    /// Another runtime runs what is due, as soon as it may.
    async fn take_over(&self) {
        let runtime = Runtime::builder(self.place.queue.clone()).queue("tests", 1).claude(self.claude());
        let drained = tokio::time::timeout(LEASE * 4, runtime.lease(LEASE).drain()).await;
        drained.expect("in time").expect("it drains");
    }

    async fn child_is_there(&self) {
        wait_until(SOON * 3, "the tool", || self.cli.has_tool(&self.tag)).await;
    }

    /// Waits until no process of the first run is left.
    async fn gone(&self, limit: Duration) {
        let start = Instant::now();
        loop {
            let left: Vec<u32> = processes_with_env(&tagged(&self.tag))
                .into_iter()
                .filter(|id| is_of_the_first_run(*id))
                .collect();
            if left.is_empty() {
                return;
            }
            assert!(start.elapsed() < limit, "after {limit:?} these are alive: {}", describe(&left));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn is_of_the_first_run(id: u32) -> bool {
    let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == b"CLAUDE_JOBS_RUN=1.1")
}
