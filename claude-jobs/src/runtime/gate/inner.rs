//! What the gate's states mean for a claim, and what the runs that end make of them.

use std::time::Duration;

use tokio::time::Instant;

use super::met::reason;
use super::{Account, Inner, Met, Trial};
use crate::breaker::Breaker;
use crate::job::Job;
use crate::outcome::{Failure, FailureKind};

/// So often a job may meet a fault of the node that no probe finds. After that the fault is the job's own: its folder
/// cannot be written to, say.
const MOST_SUSPICIONS: u32 = 4;

/// For so long it is remembered that a job has met one: by then it is over, or another node's.
const SUSPECTED_FOR: Duration = Duration::from_secs(3_600);

/// What may be claimed, capacity aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Open,
    Trial,
    Shut,
}

impl Inner {
    pub(super) fn mode(&self) -> Mode {
        match (&self.node, &self.account) {
            (Breaker::Open(_), _) | (_, Account::Stopped(_)) => Mode::Shut,
            (Breaker::Trial(_), _) | (_, Account::Trial(_)) => Mode::Trial,
            (Breaker::Closed, Account::Free | Account::Allowed) => Mode::Open,
        }
    }

    pub(super) fn met_node(&mut self, failure: &Failure, tries: bool, job: &Job) -> Met {
        if self.is_the_jobs_own(failure.kind, tries, job) {
            // Whether others can run here the next trial tells.
            self.suspects.remove(&job.id);
            return Met::Nothing;
        }
        if tries {
            self.trial = Trial::default();
        } else if let Breaker::Trial(_) = self.node {
            // It started before the probe did: the trial will tell.
            return Met::Node(reason(failure));
        }
        self.node.trip(failure.kind, &failure.message, Instant::now());
        Met::Node(reason(failure))
    }

    /// Whether a fault of the node is one of the job's after all, since no probe finds it.
    fn is_the_jobs_own(&mut self, kind: FailureKind, tries: bool, job: &Job) -> bool {
        match kind {
            // Git is there, as the probe before the trial has shown: it is the repository.
            FailureKind::GitUnusable => tries && matches!(self.node, Breaker::Trial(_)),
            FailureKind::Environment => {
                let now = Instant::now();
                self.suspects.retain(|_, (_, last)| now.duration_since(*last) < SUSPECTED_FOR);
                let (times, last) = self.suspects.entry(job.id).or_insert((0, now));
                (*times, *last) = (times.saturating_add(1), now);
                *times > MOST_SUSPICIONS
            }
            _ => false,
        }
    }

    /// The trial's claude has started and worked.
    pub(super) fn succeeded(&mut self) {
        self.node.succeeded();
        if let Account::Trial(_) = self.account {
            self.account = Account::Allowed;
        }
    }
}

impl Trial {
    /// Whether it was this job's; another one is wanted then.
    pub(super) fn forget(&mut self, job: &Job, now: Instant) -> bool {
        let was = *self == Self::Job(job.id, job.attempt);
        if was {
            *self = Self::Wanted(now);
        }
        was
    }
}
