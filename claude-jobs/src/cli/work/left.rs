//! What a drain leaves behind, so that nobody takes "ended" for "all done". Nothing is lost: it says
//! where each job waits.

use std::collections::BTreeSet;

use crate::cli::exit::Problem;
use crate::cli::output::{counted, one_line};
use crate::cli::queues::line;
use crate::engine::{Count, Filter, QueueSettings};
use crate::job::State;
use crate::queue::Queue;

/// How many unclaimed jobs are looked at for the names of their workers.
const LOOKED_AT: u32 = 100;

/// A line per kind of job that waits still; none when none does.
pub(super) async fn behind(queue: &Queue, served: &[&str]) -> Result<Vec<String>, Problem> {
    let left = Left::of(&queue.counts().await?, &queue.queues().await?, served);
    let mut lines = left.lines();
    let blocked = queue.blocked().await?.into_iter();
    let blocked = blocked.filter(|blocked| served.iter().any(|name| blocked.concerns(name)));
    lines.extend(blocked.map(|blocked| line(&blocked, queue.now())));
    if left.unclaimed > 0 {
        let strangers = strangers(queue, &left.open).await?;
        lines.push(left.unclaimed_line(&strangers));
    }
    Ok(lines)
}

/// Jobs that wait still.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    /// Scheduled, snoozed, retries to come.
    waiting: u64,
    /// Claimable, but their queue is paused.
    paused: u64,
    /// Claimable, but in no queue that was served.
    elsewhere: u64,
    /// Claimable in an open queue that was served.
    unclaimed: u64,
    /// The queues of those.
    open: Vec<String>,
}

impl Left {
    fn of(counts: &[Count], settings: &[QueueSettings], served: &[&str]) -> Self {
        let mut left = Self::default();
        for Count { queue, state, jobs } in counts {
            let is_served = served.contains(&queue.as_str());
            let is_open = !settings.iter().any(|settings| settings.name == *queue && settings.paused);
            match state {
                State::Scheduled | State::Retryable if is_served => left.waiting += jobs,
                State::Available if !is_served => left.elsewhere += jobs,
                State::Available if !is_open => left.paused += jobs,
                State::Available => {
                    left.unclaimed += jobs;
                    left.open.push(queue.clone());
                }
                _ => {}
            }
        }
        left
    }

    fn lines(&self) -> Vec<String> {
        let kinds = [
            (self.waiting, "for a later time (`jobs list` says when)"),
            (self.paused, "in paused queues (`queues resume NAME`)"),
            (self.elsewhere, "in queues that were not served (`work --queue NAME=N`)"),
        ];
        let line = |(jobs, how): (u64, &str)| {
            (jobs > 0).then(|| format!("left: {} waiting {how}", counted(jobs, "job")))
        };
        kinds.into_iter().filter_map(line).collect()
    }

    fn unclaimed_line(&self, strangers: &BTreeSet<String>) -> String {
        let jobs = counted(self.unclaimed, "job");
        if strangers.is_empty() {
            return format!("left: {jobs} not started");
        }
        let names: Vec<String> = strangers.iter().map(|name| format!("`{}`", one_line(name, 60))).collect();
        format!("left: {jobs} not started; this program does not know the worker {}", names.join(", "))
    }
}

/// Workers of unclaimed jobs that this program does not know.
async fn strangers(queue: &Queue, names: &[String]) -> Result<BTreeSet<String>, Problem> {
    let mut strangers = BTreeSet::new();
    for name in names {
        let mut filter = Filter { state: Some(State::Available), limit: LOOKED_AT, ..Filter::default() };
        filter.queue = Some(name.clone());
        let jobs = queue.list(&filter).await?;
        strangers.extend(
            jobs.into_iter().map(|job| job.worker).filter(|name| queue.registry().get(name).is_err()),
        );
    }
    Ok(strangers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(queue: &str, state: State, jobs: u64) -> Count {
        Count { queue: queue.to_owned(), state, jobs }
    }

    #[test]
    fn says_where_every_waiting_job_is() {
        let counts = [
            count("a", State::Scheduled, 1),
            count("a", State::Retryable, 2),
            count("a", State::Available, 3),
            count("a", State::Completed, 99),
            count("held", State::Available, 4),
            count("other", State::Available, 6),
            count("other", State::Scheduled, 7),
        ];
        let mut held = QueueSettings { name: "held".into(), paused: true, ..QueueSettings::default() };
        let served = ["a", "held"];
        let left = Left::of(&counts, &[held.clone()], &served);
        let expected = Left { waiting: 3, paused: 4, elsewhere: 6, unclaimed: 3, open: vec!["a".into()] };
        assert_eq!(left, expected);
        assert_eq!(left.lines().len(), 3);

        held.paused = false;
        assert_eq!(Left::of(&[], &[held], &served).lines(), Vec::<String>::new());
    }

    #[test]
    fn names_the_unknown_workers() {
        let left = Left { unclaimed: 1, ..Left::default() };
        let strangers = BTreeSet::from(["Gone".to_owned()]);
        assert_eq!(
            left.unclaimed_line(&strangers),
            "left: 1 job not started; this program does not know the worker `Gone`"
        );
    }
}
