//! [`Gate`]: what of a node may be claimed at this moment. Every claim and every start asks it.
//!
//! Three things shut it: the node's own faults (its [`Breaker`], in memory), an account for which claims are stopped
//! (a row in the database, which all nodes of the account share), and a machine without room for another run
//! ([`Capacity`]). The service [`gate`](crate::service::gate) probes and opens it again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use inner::Mode;
use met::{blamed, is_conclusive, reason};

use super::capacity::{Capacity, Measured};
use crate::account;
use crate::breaker::Breaker;
use crate::claude::{Footprint, Problem};
use crate::engine::AccountRow;
use crate::job::{Job, JobId};
use crate::outcome::{Failure, FailureKind, Fault, Run};

mod inner;
mod met;

pub(crate) use met::{AccountChange, Met};

/// After so long a drain does not wait any more for the machine to be well again.
const DRAIN_WAITS: Duration = Duration::from_secs(60);

/// What may be claimed.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Who pays for the runs.
    pub(crate) account: String,
    /// The queues that are served.
    pub(crate) queues: Vec<String>,
    inner: Mutex<Inner>,
    /// Whether all may be claimed, whatever runs: then nobody need ask further.
    is_free: AtomicBool,
    /// Told when there is something to do for the service.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    node: Breaker,
    account: Account,
    trial: Trial,
    capacity: Option<Capacity>,
    short_since: Option<Instant>,
    /// What is wrong with the node's own executable, though nobody has needed it yet.
    version: Option<Problem>,
    /// How often jobs have met a fault of the node that no probe has found, since a probe has last found one; and when
    /// they last did.
    suspects: HashMap<JobId, (u32, Instant)>,
}

/// Whether claims are stopped for the account.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Account {
    /// As far as we know they are not.
    #[default]
    Free,
    /// They are, as the row says.
    Stopped(AccountRow),
    /// They are; this node tries it with one job.
    Trial(AccountRow),
    /// This node's trial has succeeded, which is yet to be written.
    Allowed,
}

/// The one job that may run while something is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trial {
    /// None yet, since then.
    Wanted(Instant),
    /// This one.
    Job(JobId, u32),
}

impl Default for Trial {
    fn default() -> Self {
        Self::Wanted(Instant::now())
    }
}

/// Whether a job may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may.
    Yes,
    /// There is no room on the machine: it may wait for a moment.
    Later,
    /// It shall be given back.
    No,
}

/// Why nothing starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shut {
    /// `node`, `account` or `capacity`.
    pub(crate) by: &'static str,
    /// In a line.
    pub(crate) reason: String,
    /// When it is tried again, where the database knows.
    pub(crate) until: Option<Timestamp>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(String::new(), Vec::new(), Footprint::default(), 0)
    }
}

impl Gate {
    pub(crate) fn new(account: String, queues: Vec<String>, takes: Footprint, min_free_memory: u64) -> Self {
        let capacity = (takes != Footprint::default()).then(|| Capacity::new(takes, min_free_memory));
        let is_free = AtomicBool::new(capacity.is_none());
        let inner = Mutex::new(Inner { capacity, ..Inner::default() });
        Self { account, queues, inner, is_free, changed: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_free(&self) -> bool {
        self.is_free.load(Ordering::Acquire)
    }

    /// Changes something, and wakes the service.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner();
        let result = change(&mut inner);
        let is_open =
            inner.node == Breaker::Closed && matches!(inner.account, Account::Free | Account::Allowed);
        self.is_free.store(is_open && inner.capacity.is_none() && inner.version.is_none(), Ordering::Release);
        drop(inner);
        self.changed.notify_one();
        result
    }

    /// Resolves when the gate has changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    // For producers.

    /// The most jobs to claim when so many run.
    pub(crate) fn room(&self, running: impl FnOnce() -> u32) -> u32 {
        if self.is_free() {
            return u32::MAX;
        }
        let inner = self.inner();
        match inner.mode() {
            Mode::Shut => 0,
            Mode::Trial => u32::from(matches!(inner.trial, Trial::Wanted(_))),
            Mode::Open => inner.capacity.as_ref().map_or(u32::MAX, |all| all.room(running(), Instant::now())),
        }
    }

    /// Whether a claimed job may start when so many run. One that may is counted.
    pub(crate) fn admit(&self, job: &Job, running: impl FnOnce() -> u32) -> Admission {
        if self.is_free() {
            return Admission::Yes;
        }
        let (mut inner, now) = (self.inner(), Instant::now());
        match (inner.mode(), inner.trial) {
            (Mode::Shut, _) | (Mode::Trial, Trial::Job(..)) => return Admission::No,
            (Mode::Trial, Trial::Wanted(_)) => inner.trial = Trial::Job(job.id, job.attempt),
            (Mode::Open, _) => {}
        }
        if let Some(capacity) = &mut inner.capacity {
            if capacity.room(running(), now) == 0 {
                inner.trial.forget(job, now);
                return Admission::Later;
            }
            capacity.started(now);
        }
        Admission::Yes
    }

    /// Whether what is claimed may start at all.
    pub(crate) fn is_shut(&self) -> bool {
        !self.is_free() && self.inner().mode() == Mode::Shut
    }

    /// A run is over, whatever it came to.
    pub(crate) fn ended(&self, job: &Job) {
        if self.is_free() {
            return;
        }
        let mut inner = self.inner();
        if let Some(capacity) = &mut inner.capacity {
            capacity.ended();
        }
        if inner.trial.forget(job, Instant::now()) {
            drop(inner);
            self.changed.notify_one();
        }
    }

    /// A claim has found that claims are stopped for the account.
    pub(crate) fn stopped_elsewhere(&self, until: Timestamp) {
        self.change(|inner| {
            if inner.account == Account::Free {
                inner.account = Account::Stopped(AccountRow {
                    name: self.account.clone(),
                    kind: String::new(),
                    reason: "met by another node".to_owned(),
                    since: until,
                    until,
                    times: 1,
                    queues: Vec::new(),
                    trial_node: None,
                });
            }
        });
    }

    /// Whether a drain need not wait for it: for an account no more than for a paused queue, for the machine a while.
    pub(crate) fn gives_up(&self, now: Timestamp) -> bool {
        if self.is_free() {
            return false;
        }
        let (inner, instant) = (self.inner(), Instant::now());
        let is_long = |since: Instant| instant.duration_since(since) >= DRAIN_WAITS;
        let is_stopped = matches!(&inner.account, Account::Stopped(row) if row.until > now);
        let is_broken = inner.node.cause().is_some_and(|open| is_long(open.since));
        is_stopped || is_broken || inner.short_since.is_some_and(is_long)
    }

    // For the executor.

    /// Why a run that needs the node's own executable cannot be started, if that is known.
    pub(crate) fn version_problem(&self) -> Option<Problem> {
        if self.is_free() { None } else { self.inner().version.clone() }
    }

    /// When a stopped account may be tried; from then on it is a trial. For who runs one job at a time on one node.
    pub(crate) fn stopped_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.account_state() {
            Account::Stopped(row) if row.until <= now => {
                self.set_account(Account::Trial(row));
                None
            }
            Account::Stopped(row) => Some(row.until),
            Account::Free | Account::Trial(_) | Account::Allowed => None,
        }
    }

    /// Takes note of what a run came to. `names_binary`: its executable is of the job's own choice.
    pub(crate) fn met(&self, job: &Job, run: &Run, names_binary: bool, now: Timestamp) -> Met {
        let failure = run.failure();
        let fault = failure.and_then(|failure| blamed(failure, names_binary));
        if fault.is_none() && self.is_free() {
            return Met::Nothing;
        }
        self.change(|inner| {
            let tries = inner.trial == Trial::Job(job.id, job.attempt);
            match (fault, failure) {
                (Some(Fault::Node), Some(failure)) => inner.met_node(failure, tries, job),
                (Some(Fault::Account), Some(failure)) => {
                    self.met_account(inner, failure, tries, run.worked, now)
                }
                _ => {
                    inner.suspects.remove(&job.id);
                    if tries && is_conclusive(run) {
                        inner.succeeded();
                    }
                    Met::Nothing
                }
            }
        })
    }

    fn met_account(
        &self,
        inner: &mut Inner,
        failure: &Failure,
        tries: bool,
        has_worked: bool,
        now: Timestamp,
    ) -> Met {
        if tries {
            inner.node.succeeded();
        }
        let stopped =
            |before: Option<&AccountRow>| account::stopped(&self.account, &self.queues, failure, before, now);
        let is_limit = failure.kind == FailureKind::UsageLimit;
        match &inner.account {
            // Another run may have met it meanwhile.
            Account::Trial(before) | Account::Stopped(before) if tries => {
                let row = stopped(Some(before));
                let is_ours = matches!(inner.account, Account::Trial(_));
                inner.account = Account::Stopped(row.clone());
                let until = row.until;
                let change = if is_ours { AccountChange::Failed(row) } else { AccountChange::Stop(row) };
                match (is_limit, has_worked) {
                    (true, _) => Met::Limit(until, change),
                    (false, true) => Met::Account(change),
                    (false, false) => Met::Known(reason(failure), change),
                }
            }
            known => {
                let mut row = stopped(None);
                if let Account::Stopped(known) | Account::Trial(known) = known {
                    // It was met before this run ended: once for all that ran.
                    (row.since, row.times, row.until) =
                        (known.since, known.times, row.until.max(known.until));
                }
                match known {
                    Account::Trial(_) => {}
                    _ => inner.account = Account::Stopped(row.clone()),
                }
                let (until, change) = (row.until, AccountChange::Stop(row));
                if is_limit { Met::Limit(until, change) } else { Met::Account(change) }
            }
        }
    }

    // For the service.

    /// Why nothing starts now.
    pub(crate) fn shut(&self) -> Option<Shut> {
        if self.is_free() {
            return None;
        }
        let inner = self.inner();
        if let Some(open) = inner.node.cause() {
            let reason = format!("{}: {}", open.kind.name(), open.message);
            return Some(Shut { by: "node", reason, until: None });
        }
        if let Account::Stopped(row) | Account::Trial(row) = &inner.account {
            let reason = if row.kind.is_empty() {
                row.reason.clone()
            } else {
                format!("{}: {}", row.kind, row.reason)
            };
            return Some(Shut { by: "account", reason, until: Some(row.until) });
        }
        inner.short_since?;
        let reason = inner.capacity.as_ref()?.shortage()?;
        Some(Shut { by: "capacity", reason, until: None })
    }

    pub(crate) fn node(&self) -> Breaker {
        self.inner().node.clone()
    }

    pub(crate) fn account_state(&self) -> Account {
        self.inner().account.clone()
    }

    pub(crate) fn set_account(&self, account: Account) {
        self.change(|inner| {
            if let (Account::Trial(_), false) = (&account, matches!(inner.account, Account::Trial(_))) {
                inner.trial = Trial::default();
            }
            inner.account = account;
        });
    }

    /// As [`set_account`](Self::set_account), unless it has become another since it was looked at.
    pub(crate) fn replace_account(&self, seen: &Account, account: Account) {
        if account != *seen && self.inner().account == *seen {
            self.set_account(account);
        }
    }

    /// For how long no job has come that could be tried.
    pub(crate) fn trial_is_wanted_for(&self) -> Option<Duration> {
        match self.inner().trial {
            Trial::Wanted(since) => Some(since.elapsed()),
            Trial::Job(..) => None,
        }
    }

    pub(crate) fn trip(&self, problem: &Problem) {
        self.change(|inner| inner.node.trip(problem.kind, &problem.message, Instant::now()));
    }

    /// A probe was answered.
    pub(crate) fn probed(&self, found: Result<(), &Problem>) {
        self.change(|inner| {
            match found {
                Ok(()) => inner.version = None,
                Err(_) => inner.suspects.clear(),
            }
            let found = found.map_err(|problem| (problem.kind, problem.message.as_str()));
            inner.node.probed(found, Instant::now());
            inner.trial = match (&inner.node, inner.trial) {
                (Breaker::Trial(_), Trial::Wanted(_)) => Trial::default(),
                (_, trial) => trial,
            };
        });
    }

    /// The node's own executable is of a version that cannot be driven; jobs may name another.
    pub(crate) fn note_version(&self, problem: Problem) {
        self.change(|inner| inner.version = Some(problem));
    }

    /// A fault of the account that a probe has found.
    pub(crate) fn probe_met(&self, problem: &Problem, now: Timestamp) -> AccountChange {
        let failure = Failure::new(problem.kind, problem.message.clone());
        let before = self.account_state();
        let (before, is_trial) = match &before {
            Account::Trial(row) => (Some(row), true),
            Account::Stopped(row) => (Some(row), false),
            Account::Free | Account::Allowed => (None, false),
        };
        let row = account::stopped(&self.account, &self.queues, &failure, before, now);
        self.set_account(Account::Stopped(row.clone()));
        if is_trial { AccountChange::Failed(row) } else { AccountChange::Stop(row) }
    }

    /// What the machine has was measured. Whether there is room again.
    pub(crate) fn measured(&self, takes: Footprint, measured: Measured) -> bool {
        let mut inner = self.inner();
        let Some(capacity) = &mut inner.capacity else { return false };
        capacity.measure(takes, measured);
        let is_short = capacity.shortage().is_some();
        let was_short = inner.short_since.is_some();
        inner.short_since = if is_short { inner.short_since.or_else(|| Some(Instant::now())) } else { None };
        was_short && !is_short
    }
}

#[cfg(test)]
mod tests;
