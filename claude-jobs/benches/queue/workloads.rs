//! The workloads, as the peers' harness runs them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_jobs::{Limits, Queue, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::database::{Content, Databases, own_cpu};
use crate::idle;
use crate::measurement::{CLIENT_CPU, Measurement, OURS, RATE, SERVER_CPU, SETTLED_RATE, percentile};
use crate::settings::{Sizes, Workload};
use crate::worker::{NoClaude, QUEUE, Tracker, job, new_job};

/// Runs a workload once.
pub(crate) async fn measure(
    workload: Workload,
    databases: &mut Databases,
    sizes: &Sizes,
) -> Vec<Measurement> {
    match workload {
        Workload::Insert => {
            let one = insert(databases, 1, sizes.inserts).await;
            vec![one, insert(databases, 10, sizes.concurrent_inserts).await]
        }
        Workload::Bulk => {
            let small = bulk(databases, sizes.bulk, 1_000).await;
            vec![small, bulk(databases, sizes.bulk, 10_000).await]
        }
        Workload::Drain => {
            let content = Content { completed: 0, waiting: sizes.drain };
            let mut taken = Vec::new();
            for (row, limits) in [
                ("w3 drain, 10 strict", strict(10)),
                ("w3 drain, 10 adaptive", adaptive(10)),
                ("w3 drain, 50 adaptive", adaptive(50)),
            ] {
                taken.push(drain(databases, row, content, sizes.drain, limits).await);
            }
            taken
        }
        Workload::Pickup => {
            let same = pickup(databases, "w4 pickup, same process", sizes.pickups, Sender::Runtimes).await;
            vec![same, pickup(databases, "w4 pickup, other connection", sizes.pickups, Sender::Another).await]
        }
        Workload::Backlog => backlog(databases, sizes).await,
        Workload::Idle => idle::measure(databases, sizes).await,
        Workload::Keys => {
            let mut taken = Vec::new();
            for keys in sizes.keys {
                taken.push(keyed(databases, sizes, keys).await);
            }
            taken
        }
    }
}

/// So many at once, claimed as a user gets it.
pub(crate) fn adaptive(jobs: u32) -> Limits {
    Limits::local(jobs)
}

/// So many at once, and no job claimed before its slot is free.
fn strict(jobs: u32) -> Limits {
    Limits::local(jobs).claim_ahead(false)
}

/// W1: inserts split over tasks, each waiting for one to be durable before its next.
async fn insert(databases: &mut Databases, tasks: u64, jobs: u64) -> Measurement {
    let url = databases.fresh().await;
    let queue = open(&url).await;
    let usage = Usage::begin(databases);
    let mut inserting = JoinSet::new();
    for task in 0..tasks {
        let queue = queue.clone();
        inserting.spawn(async move {
            for seq in task * jobs / tasks..(task + 1) * jobs / tasks {
                job(seq).insert(&queue).await.expect("the job is valid");
            }
        });
    }
    while let Some(task) = inserting.join_next().await {
        task.expect("no insert fails");
    }
    let values = usage.end(databases, jobs);
    drop(queue);
    databases.remove(&url);
    measurement(databases, &format!("w1 insert, tasks={tasks}"), values)
}

/// W2: many per call.
async fn bulk(databases: &mut Databases, jobs: u64, batch: u64) -> Measurement {
    let url = databases.fresh().await;
    let queue = open(&url).await;
    let usage = Usage::begin(databases);
    for start in (0..jobs).step_by(usize::try_from(batch).expect("it is small")) {
        let inserted = queue.insert_many((start..jobs.min(start + batch)).map(new_job)).await;
        assert_eq!(inserted.expect("the jobs are valid").len() as u64, batch.min(jobs - start));
    }
    let values = usage.end(databases, jobs);
    drop(queue);
    databases.remove(&url);
    measurement(databases, &format!("w2 bulk, batch={batch}"), values)
}

/// W7: a runtime's first starts where jobs of many keys wait, one at a time of each key.
async fn keyed(databases: &mut Databases, sizes: &Sizes, keys: u64) -> Measurement {
    let url = databases.fresh().await;
    let queue = open(&url).await;
    let jobs = (0..sizes.keyed).map(|seq| job(seq).concurrency_key(format!("customer {}", seq % keys)));
    let jobs = jobs.map(|job| job.into_new_job().expect("the fields are plain data"));
    queue.insert_many(jobs).await.expect("the jobs are valid");
    let row = format!("w7 keys={keys}");
    served(databases, &url, queue, &row, [sizes.keyed, sizes.keyed_drain], adaptive(10).per_key(1)).await
}

/// W3 and W5: a runtime's first `jobs` starts, out of what waits.
async fn drain(
    databases: &mut Databases,
    row: &str,
    content: Content,
    jobs: u64,
    limits: Limits,
) -> Measurement {
    let url = databases.filled(content).await;
    let queue = open(&url).await;
    served(databases, &url, queue, row, [content.waiting, jobs], limits).await
}

/// Serves a queue until so many of what waits are settled.
async fn served(
    databases: &Databases,
    url: &str,
    queue: Queue,
    row: &str,
    [waiting, jobs]: [u64; 2],
    limits: Limits,
) -> Measurement {
    let usage = Usage::begin(databases);
    let tracker = Tracker::new(waiting, jobs);
    let runtime = start(queue, limits, &tracker);
    let started = tracker.all_started().await;
    let settled = tracker.all_settled().await;
    let mut values = usage.end(databases, jobs);
    runtime.stop().await;
    assert_eq!(tracker.repeated(), 0, "no job runs twice");
    values[0].1 = jobs as f64 / started.as_secs_f64();
    values.push((SETTLED_RATE, jobs as f64 / settled.as_secs_f64()));
    databases.remove(url);
    measurement(databases, row, values)
}

/// Who inserts the jobs whose pickup is measured.
#[derive(PartialEq)]
enum Sender {
    /// The handle that the runtime serves.
    Runtimes,
    /// A handle with connections of its own.
    Another,
}

/// W4: from the call of insert to the start of the run, on an idle runtime.
async fn pickup(databases: &mut Databases, row: &str, jobs: u64, sender: Sender) -> Measurement {
    let url = databases.fresh().await;
    let served = open(&url).await;
    let sending = if sender == Sender::Another { open(&url).await } else { served.clone() };
    let tracker = Tracker::new(jobs, jobs);
    let runtime = start(served, adaptive(10), &tracker);
    // The peers' harness gives its workers two seconds to come to rest.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut tick = tokio::time::interval(Duration::from_millis(25));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for seq in 0..jobs {
        tick.tick().await;
        tracker.sent(seq);
        job(seq).insert(&sending).await.expect("the job is valid");
    }
    tracker.all_settled().await;
    runtime.stop().await;
    let latencies = tracker.latencies();
    drop(sending);
    databases.remove(&url);
    let columns = [("p50 ms", 50.0), ("p95 ms", 95.0), ("p99 ms", 99.0), ("max ms", 100.0)];
    measurement(databases, row, columns.map(|(column, percent)| (column, percentile(&latencies, percent))))
}

/// W5: the same drain with more and more behind it, and with many completed.
async fn backlog(databases: &mut Databases, sizes: &Sizes) -> Vec<Measurement> {
    let jobs = sizes.backlog_drain;
    let mut taken = Vec::new();
    for (name, more) in ["1k", "100k", "1M"].into_iter().zip(sizes.backlogs) {
        let content = Content { completed: 0, waiting: jobs + more };
        taken.push(drain(databases, &format!("w5 {name} more waiting"), content, jobs, adaptive(10)).await);
    }
    let content = Content { completed: sizes.backlogs[2], waiting: jobs + sizes.backlogs[0] };
    taken.push(drain(databases, "w5 1M completed", content, jobs, adaptive(10)).await);
    taken
}

async fn open(url: &str) -> Queue {
    Queue::connect(url).await.expect("it was opened before")
}

/// A runtime at work.
struct Started {
    end: CancellationToken,
    task: JoinHandle<claude_jobs::Result<()>>,
}

fn start(queue: Queue, limits: Limits, tracker: &Arc<Tracker>) -> Started {
    let end = CancellationToken::new();
    let listener = Arc::clone(tracker);
    let runtime = Runtime::builder(queue)
        .queue(QUEUE, limits)
        .claude(NoClaude::new(tracker))
        .on_notice(move |notice| listener.listen(notice));
    let task = tokio::spawn(runtime.run_until(end.clone().cancelled_owned()));
    Started { end, task }
}

impl Started {
    async fn stop(self) {
        self.end.cancel();
        self.task.await.expect("it does not panic").expect("it ends in order");
    }
}

/// Time and CPU from here on.
struct Usage {
    start: Instant,
    client: f64,
    server: f64,
}

impl Usage {
    fn begin(databases: &Databases) -> Usage {
        Usage { server: databases.server_cpu(), client: own_cpu(), start: Instant::now() }
    }

    /// The rate first.
    fn end(self, databases: &Databases, jobs: u64) -> Vec<(&'static str, f64)> {
        let per_job = |seconds: f64| seconds * 1e6 / jobs as f64;
        vec![
            (RATE, jobs as f64 / self.start.elapsed().as_secs_f64()),
            (CLIENT_CPU, per_job(own_cpu() - self.client)),
            (SERVER_CPU, per_job(databases.server_cpu() - self.server)),
        ]
    }
}

/// A measurement of ours.
pub(crate) fn measurement(
    databases: &Databases,
    row: &str,
    values: impl IntoIterator<Item = (&'static str, f64)>,
) -> Measurement {
    let values = values.into_iter().map(|(column, value)| (column.to_owned(), value)).collect();
    Measurement { row: format!("{} {row}", databases.engine.name()), who: OURS.to_owned(), values }
}
