//! What a run costs over the bare process: time of a job from started to settled and CPU of the whole host,
//! through the real runner with its supervisor and a queue in memory; and memory per running job.
//!
//! ```text
//! cargo bench -p claude-jobs --bench executor
//! ```
//!
//! The process is the tests' fake claude, which prints what a short successful run of the real one
//! prints. Bare and queued runs take turns, a block of each. What the runs are kept by is varied, so that
//! the host's own part can be told from front's and supervisor's; the targets are for the default. Under
//! `cargo test` it runs a few times only, to see that it works.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use claude_jobs::claude::{ClaudeCli, ClaudeCliBuilder, Supervision};
use claude_jobs::notice::Notice;
use claude_jobs::{Limits, Queue, Runtime, State, claude_worker};
use claude_jobs_tests::fake::FakeClaude;
use claude_jobs_tests::sandbox::wait_until;
use claude_jobs_tests::script::{Step, Take};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[claude_worker(queue = "bench")]
struct Job;

const PROMPT: &str = "Summarise the open issues of the repository and write a report.";

/// The targets, per run and per running job.
const MOST_WALL_MS: f64 = 5.0;
const MOST_CPU_MS: f64 = 2.0;
const MOST_KIB: f64 = 100.0;

fn main() {
    let quick = !std::env::args().any(|argument| argument == "--bench");
    build_fake_claude();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let few_and_many = if quick { [1, 3] } else { [1, 100] };
    runtime.block_on(async {
        for keeping in Keeping::ALL {
            time(if quick { 5 } else { 200 }, keeping).await;
        }
        for (keeping, jobs) in
            Keeping::SUPERVISED.into_iter().flat_map(|keeping| few_and_many.map(|jobs| (keeping, jobs)))
        {
            memory(jobs, keeping).await;
        }
    });
}

/// The fake claude is a program of another package, which cargo does not build for a benchmark.
fn build_fake_claude() {
    let this = std::env::current_exe().expect("a running program has a path");
    let is_release = this.ancestors().any(|folder| folder.ends_with("release"));
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "claude-jobs-tests", "--bin", "fake_claude"])
        .args(is_release.then_some("--release"))
        .status();
    assert!(status.expect("cargo can be started").success(), "the fake claude is built");
}

/// What keeps hold of the runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keeping {
    Helper,
    ThisProgram,
    /// Neither front nor supervisor: what remains is the host's.
    ProcessGroup,
}

impl Keeping {
    const ALL: [Self; 3] = [Self::Helper, Self::ThisProgram, Self::ProcessGroup];
    const SUPERVISED: [Self; 2] = [Self::Helper, Self::ThisProgram];

    const fn name(self) -> &'static str {
        match self {
            Self::Helper => "kept by the helper",
            Self::ThisProgram => "kept by this program",
            Self::ProcessGroup => "without a supervisor",
        }
    }

    fn runner(self, builder: ClaudeCliBuilder) -> ClaudeCli {
        let runner = match self {
            Self::Helper => builder.build(),
            Self::ThisProgram => builder.without_helper().build(),
            Self::ProcessGroup => builder.by_process_group().build(),
        };
        assert_eq!(runner.supervision() == Supervision::Supervisor, self == Self::Helper);
        runner
    }
}

/// A runtime over a database in memory (what a database costs is the other benchmark's), and what it
/// says.
struct Host {
    queue: Queue,
    /// How long each job took from its start to its settlement.
    settled: mpsc::UnboundedReceiver<Duration>,
    started: Arc<AtomicUsize>,
    end: CancellationToken,
    serving: JoinHandle<claude_jobs::Result<()>>,
}

impl Host {
    async fn start(fake: &FakeClaude, concurrency: u32, keeping: Keeping) -> Host {
        let queue = Queue::connect("sqlite::memory:").await.expect("a new database");
        let (sender, settled) = mpsc::unbounded_channel();
        let (started, starts) = (Arc::new(AtomicUsize::new(0)), std::sync::Mutex::new(Vec::new()));
        let count = Arc::clone(&started);
        let listener = move |notice: &Notice<'_>| {
            let mut starts = starts.lock().expect("no holder panics");
            match notice {
                Notice::Started { job } => {
                    starts.push((job.id, Instant::now()));
                    count.fetch_add(1, Ordering::SeqCst);
                }
                Notice::Settled { job, settlement, .. } => {
                    let place = starts.iter().position(|(id, _)| *id == job.id).expect("it was started");
                    let (_, start) = starts.swap_remove(place);
                    assert!(
                        settlement.state != State::Cancelled || settlement.run.ending.contains("stopped")
                    );
                    let _ = sender.send(start.elapsed());
                }
                _ => {}
            }
        };
        let end = CancellationToken::new();
        let claude = keeping.runner(ClaudeCli::builder().binary(fake.path().display().to_string()));
        let runtime = Runtime::builder(queue.clone())
            .queue("bench", Limits::local(concurrency))
            .claude(claude)
            .grace(Duration::ZERO)
            .on_notice(listener);
        let serving = tokio::spawn(runtime.run_until(end.clone().cancelled_owned()));
        Host { queue, settled, started, end, serving }
    }

    async fn insert(&self, jobs: usize) {
        let jobs = (0..jobs).map(|_| Job::new(PROMPT).into_new_job().expect("the job is valid"));
        self.queue.insert_many(jobs).await.expect("the jobs are valid");
    }

    async fn stop(self) {
        self.end.cancel();
        self.serving.await.expect("it does not panic").expect("it ends in order");
    }
}

/// What some runs took, in milliseconds.
#[derive(Default)]
struct Costs {
    walls: Vec<f64>,
    cpu: Cpu,
}

impl Costs {
    fn median_wall(&self) -> f64 {
        let mut walls = self.walls.clone();
        walls.sort_by(f64::total_cmp);
        walls[walls.len() / 2]
    }

    /// The kernel counts CPU in ticks of 10 ms: only the mean of many runs tells.
    fn mean_cpu(&self) -> f64 {
        (self.cpu.own + self.cpu.descendants) / self.walls.len() as f64
    }

    /// What of it is this process's.
    fn mean_own_cpu(&self) -> f64 {
        self.cpu.own / self.walls.len() as f64
    }
}

async fn time(runs: usize, keeping: Keeping) {
    const BLOCKS: usize = 5;
    let fake = FakeClaude::new([Take::success("It is done.")]);
    let mut host = Host::start(&fake, 1, keeping).await;
    let (mut bare, mut queued) = (Costs::default(), Costs::default());
    // The first block warms the caches.
    for block in 0..=BLOCKS {
        if block == 1 {
            (bare, queued) = (Costs::default(), Costs::default());
        }
        run_block_bare(&fake, runs / BLOCKS, &mut bare).await;
        run_block_queued(&mut host, runs / BLOCKS, &mut queued).await;
    }
    host.stop().await;
    println!("\n{runs} runs {:12} wall ms (median)  CPU ms (mean)  of it this process", "");
    for (name, costs) in [("the bare process", &bare), (keeping.name(), &queued)] {
        let (wall, cpu, own) = (costs.median_wall(), costs.mean_cpu(), costs.mean_own_cpu());
        println!("{name:23} {wall:17.2} {cpu:14.2} {own:19.2}");
    }
    let beyond = |cost: fn(&Costs) -> f64| cost(&queued) - cost(&bare);
    let (wall, cpu) = (beyond(Costs::median_wall), beyond(Costs::mean_cpu));
    println!("{:23} {wall:17.2} {cpu:14.2} {:19.2}", "beyond the bare process", beyond(Costs::mean_own_cpu));
    if keeping == Keeping::Helper {
        report("wall ms of a run beyond the bare process", wall, MOST_WALL_MS);
        report("CPU ms of a run beyond the bare process", cpu, MOST_CPU_MS);
    }
}

async fn run_block_bare(fake: &FakeClaude, runs: usize, costs: &mut Costs) {
    let before = cpu();
    for _ in 0..runs {
        let start = Instant::now();
        run_bare(fake).await;
        costs.walls.push(millis(start.elapsed()));
    }
    costs.cpu.add(before, cpu());
}

/// One job after another; they are inserted before the clock runs.
async fn run_block_queued(host: &mut Host, runs: usize, costs: &mut Costs) {
    host.queue.pause("bench").await.expect("a pause");
    host.insert(runs).await;
    let before = cpu();
    host.queue.resume("bench").await.expect("no pause");
    for _ in 0..runs {
        costs.walls.push(millis(host.settled.recv().await.expect("it is settled")));
    }
    costs.cpu.add(before, cpu());
}

/// The least that runs it: spawned with the same streams, its output read to the end.
async fn run_bare(fake: &FakeClaude) {
    let mut process = tokio::process::Command::new(fake.path())
        .args(["--print", "--verbose", "--output-format", "stream-json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut stdin = process.stdin.take().expect("it was asked to be a pipe");
    stdin.write_all(PROMPT.as_bytes()).await.expect("it reads its prompt");
    drop(stdin);
    let output = process.wait_with_output().await.expect("it is our child");
    assert!(output.status.success() && !output.stdout.is_empty());
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// CPU, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Cpu {
    own: f64,
    /// Of those that have ended.
    descendants: f64,
}

impl Cpu {
    fn add(&mut self, before: Cpu, after: Cpu) {
        self.own += after.own - before.own;
        self.descendants += after.descendants - before.descendants;
    }
}

/// What this process and its dead descendants have used so far.
fn cpu() -> Cpu {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc is mounted");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in brackets");
    // User's and system's, then the same of the dead.
    let ticks = fields.split(' ').skip(11).take(4).map(|ticks| ticks.parse::<f64>().expect("a number"));
    let ticks: Vec<f64> = ticks.collect();
    Cpu { own: (ticks[0] + ticks[1]) * 10.0, descendants: (ticks[2] + ticks[3]) * 10.0 }
}

/// What jobs take while they run, beside the CLI's own process.
async fn memory(jobs: usize, keeping: Keeping) {
    let fake = FakeClaude::new([Take::success("It is done."), Take::of([Step::Hang])]);
    let concurrency = u32::try_from(jobs).expect("it is small");
    let mut host = Host::start(&fake, concurrency, keeping).await;
    // Buffers and threads are the host's, not a job's: the first run gets it what it needs for all.
    host.insert(1).await;
    host.settled.recv().await.expect("it is settled");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = [Rollup::of("self")];
    host.insert(jobs).await;
    let all = || host.started.load(Ordering::SeqCst) == 1 + jobs && fake.records().len() == 1 + jobs;
    wait_until(Duration::from_secs(60), "all jobs to run", all).await;
    // Each supervisor still has to let go of its streams.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fronts = processes("claude-jobs-run", &[std::process::id()]);
    let supervisors = processes("claude-jobs-sup", &fronts);
    assert_eq!((fronts.len(), supervisors.len()), (jobs, jobs), "a front and a supervisor per job");
    let after = [Rollup::of("self")];
    println!("\n{jobs} at once, {}, KiB per job: proportional share, private dirty", keeping.name());
    let mut total = 0.0;
    let groups = [("host's growth", Rollup::sum(&after).minus(Rollup::sum(&before)))];
    let rollups = |ids: &[u32]| ids.iter().map(|id| Rollup::of(&id.to_string())).collect::<Vec<_>>();
    let others = [("fronts", &fronts), ("supervisors", &supervisors)];
    let others = others.map(|(name, ids)| (name, Rollup::sum(&rollups(ids))));
    for (name, rollup) in groups.into_iter().chain(others) {
        let per_job = |kib: f64| kib / jobs as f64;
        println!("{name:26} {:18.1} {:15.1}", per_job(rollup.share), per_job(rollup.own));
        total += per_job(rollup.share);
    }
    host.stop().await;
    println!("{:26} {total:18.1}", "together");
    if keeping == Keeping::Helper {
        report(&format!("KiB of memory per running job beyond the CLI, {jobs} at once"), total, MOST_KIB);
    }
}

/// `smaps_rollup`, in KiB.
#[derive(Clone, Copy)]
struct Rollup {
    /// Shared pages count in parts.
    share: f64,
    /// Private and written to.
    own: f64,
}

impl Rollup {
    fn of(process: &str) -> Rollup {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("it is alive and ours");
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Rollup { share: field("Pss:"), own: field("Private_Dirty:") }
    }

    fn sum(all: &[Rollup]) -> Rollup {
        let sum = |field: fn(&Rollup) -> f64| all.iter().map(field).sum();
        Rollup { share: sum(|rollup| rollup.share), own: sum(|rollup| rollup.own) }
    }

    fn minus(self, other: Rollup) -> Rollup {
        Rollup { share: self.share - other.share, own: self.own - other.own }
    }
}

/// The children of these that go by this name.
fn processes(name: &str, parents: &[u32]) -> Vec<u32> {
    let parent = |id: &str| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let entries = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|id| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm.trim() == name))
        .filter(|id| parent(id).is_some_and(|parent| parents.contains(&parent)))
        .filter_map(|id| id.parse().ok())
        .collect()
}

fn report(what: &str, value: f64, most: f64) {
    let verdict = if value < most { "reached" } else { "missed" };
    println!("target {what}: ours {value:.2} below {most}: {verdict}");
}
