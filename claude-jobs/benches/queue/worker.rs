//! The job that does nothing, the claude that answers at once, and who keeps count of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use claude_jobs::claude::{Claude, Request, RunnerError};
use claude_jobs::notice::Notice;
use claude_jobs::outcome::Report;
use claude_jobs::{JobBuilder, NewJob, State, claude_worker};
use tokio::sync::Notify;

/// The queue of all jobs.
pub(crate) const QUEUE: &str = "bench";

/// With its prompt about 100 bytes of JSON, as the peers' payload.
#[claude_worker(queue = "bench", max_attempts = 20)]
pub(crate) struct Noop {
    seq: u64,
}

pub(crate) fn job(seq: u64) -> JobBuilder<Noop> {
    Noop::new(seq, format!("{seq} summarise the open issues of the repository and write a report"))
}

pub(crate) fn new_job(seq: u64) -> NewJob {
    job(seq).into_new_job().expect("the fields are plain data")
}

/// When each job was sent and started, and how many have ended.
pub(crate) struct Tracker {
    base: Instant,
    /// Nanoseconds since `base`; 0: not yet.
    sent: Vec<AtomicU64>,
    started: Vec<AtomicU64>,
    /// Runs beyond a job's first.
    repeated: AtomicU64,
    starts: Milestone,
    settlements: Milestone,
}

/// A count that is waited for.
struct Milestone {
    target: u64,
    count: AtomicU64,
    /// When the target was reached.
    at: AtomicU64,
    reached: Notify,
}

impl Milestone {
    fn new(target: u64) -> Milestone {
        Milestone { target, count: AtomicU64::new(0), at: AtomicU64::new(0), reached: Notify::new() }
    }

    fn count(&self, now: u64) {
        if self.count.fetch_add(1, Ordering::AcqRel) + 1 == self.target {
            self.at.store(now, Ordering::Release);
            self.reached.notify_one();
        }
    }

    /// When the target was reached.
    async fn wait(&self) -> u64 {
        let limit = Duration::from_secs(300);
        let in_time = tokio::time::timeout(limit, async {
            while self.at.load(Ordering::Acquire) == 0 {
                self.reached.notified().await;
            }
        });
        let count = &self.count;
        in_time.await.unwrap_or_else(|_| panic!("{count:?} of {} after {limit:?}", self.target));
        self.at.load(Ordering::Acquire)
    }
}

impl Tracker {
    /// For jobs numbered below `jobs`, of which `target` are waited for.
    pub(crate) fn new(jobs: u64, target: u64) -> Arc<Tracker> {
        let times = || (0..jobs).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Tracker {
            base: Instant::now(),
            sent: times(),
            started: times(),
            repeated: AtomicU64::new(0),
            starts: Milestone::new(target),
            settlements: Milestone::new(target),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn sent(&self, seq: u64) {
        self.sent[place(seq)].store(self.now(), Ordering::Relaxed);
    }

    fn start(&self, seq: u64) {
        let now = self.now();
        let is_first =
            self.started[place(seq)].compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_first {
            self.starts.count(now);
        } else {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Listens to a runtime. Counts the jobs whose end is in the database.
    pub(crate) fn listen(&self, notice: &Notice<'_>) {
        let Notice::Settled { settlement, is_ours: true, .. } = notice else { return };
        match settlement.state {
            State::Completed => self.settlements.count(self.now()),
            // Claimed ahead on a busy machine, and given back before it ran.
            State::Available => {}
            state => {
                eprintln!("a job ended as {state:?}: {:?}", settlement.reason);
                std::process::exit(1);
            }
        }
    }

    /// How long until the target was started, from the tracker's making.
    pub(crate) async fn all_started(&self) -> Duration {
        Duration::from_nanos(self.starts.wait().await)
    }

    /// How long until the target was settled.
    pub(crate) async fn all_settled(&self) -> Duration {
        Duration::from_nanos(self.settlements.wait().await)
    }

    /// How many runs there were of jobs that had already run.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// From sent to started, in milliseconds, sorted.
    pub(crate) fn latencies(&self) -> Vec<f64> {
        let pairs = self.sent.iter().zip(&self.started);
        let mut latencies: Vec<f64> = pairs
            .map(|(sent, started)| (sent.load(Ordering::Relaxed), started.load(Ordering::Relaxed)))
            .filter(|(sent, started)| *sent > 0 && *started > 0)
            .map(|(sent, started)| started.saturating_sub(sent) as f64 / 1e6)
            .collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }
}

fn place(seq: u64) -> usize {
    usize::try_from(seq).expect("there are fewer jobs than memory")
}

/// Answers at once, and tells the tracker.
pub(crate) struct NoClaude {
    tracker: Arc<Tracker>,
    report: Report,
}

impl NoClaude {
    pub(crate) fn new(tracker: &Arc<Tracker>) -> NoClaude {
        let event = serde_json::json!({
            "type": "result", "subtype": "success", "num_turns": 1, "total_cost_usd": 0.01, "result": "done",
        });
        NoClaude { tracker: Arc::clone(tracker), report: Report::from_events([&event], 0) }
    }
}

#[async_trait]
impl Claude for NoClaude {
    async fn run(&self, request: Request) -> Result<Report, RunnerError> {
        let seq = request.prompt().split(' ').next().and_then(|word| word.parse().ok());
        self.tracker.start(seq.expect("every prompt starts with its number"));
        Ok(self.report.clone())
    }
}
