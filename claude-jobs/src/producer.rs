//! One queue's loop: how many jobs are wanted, claim them, start them, wait for a reason to look
//! again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::claude::Stop;
use crate::clock::between;
use crate::engine::{ClaimRequest, Claimed};
use crate::job::Job;
use crate::runtime::shared::Shared;

/// The longest a producer waits before it looks again, should every wake-up have been missed.
const POLL: Duration = Duration::from_secs(5);

/// How long it waits after a claim failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) struct Producer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: String,
    /// How many jobs at once, unless the queue's settings say otherwise.
    pub(crate) concurrency: u32,
    /// Whether there is nothing due and nothing running.
    pub(crate) idle: watch::Sender<bool>,
}

impl Producer {
    /// Serves until `claiming` is cancelled, then waits for its runs.
    pub(crate) async fn serve(self, claiming: CancellationToken) {
        let mut runs = JoinSet::new();
        let mut wakes = self.shared.queue.wakes();
        while !claiming.is_cancelled() {
            wakes.mark_unchanged();
            let running = u32::try_from(runs.len()).unwrap_or(u32::MAX);
            let wait = match self.claim(running).await {
                Ok(claimed) => {
                    let wait = self.wait_after(&claimed);
                    let found = claimed.jobs.len();
                    claimed.jobs.into_iter().for_each(|job| self.start(&mut runs, job));
                    self.idle.send_if_modified(|idle| {
                        let now_idle = found == 0 && runs.is_empty();
                        std::mem::replace(idle, now_idle) != now_idle
                    });
                    wait
                }
                Err(error) => {
                    tracing::error!(queue = self.name, %error, "cannot claim, will try again");
                    AFTER_ERROR
                }
            };
            tokio::select! {
                () = claiming.cancelled() => {}
                Some(_) = runs.join_next() => {}
                _ = wakes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        while runs.join_next().await.is_some() {}
    }

    async fn claim(&self, running: u32) -> crate::Result<Claimed> {
        let workers = self.shared.queue.registry().names();
        let request = ClaimRequest {
            queue: &self.name,
            node: &self.shared.node_id(),
            workers: &workers,
            concurrency: self.concurrency,
            running,
            now: self.shared.queue.now(),
        };
        self.shared.queue.engine().claim(&request).await
    }

    /// Until the next job is due, or the queue's pause is over.
    fn wait_after(&self, claimed: &Claimed) -> Duration {
        let now = self.shared.queue.now();
        let moments = [claimed.next_due, claimed.settings.paused_until];
        let until = |moment| between(now, moment).max(Duration::from_millis(1));
        moments
            .into_iter()
            .flatten()
            .filter(|moment| *moment > now)
            .map(until)
            .min()
            .unwrap_or(POLL)
            .min(POLL)
    }

    fn start(&self, runs: &mut JoinSet<()>, job: Job) {
        let (shared, stop) = (Arc::clone(&self.shared), Stop::default());
        shared.runs().insert((job.id, job.attempt), stop.clone());
        runs.spawn(async move {
            let run = (job.id, job.attempt);
            shared.executor.execute(job, stop).await;
            shared.runs().remove(&run);
        });
    }
}
