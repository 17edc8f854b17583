//! A simple queue in memory, to compare an engine with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::fixture::NODES;
use crate::clock::later;
use crate::engine::{AccountRow, ClaimRequest, QueueChange, QueueSettings, Settled};
use crate::job::{Job, JobId, JobRow, RunRow, State, UniqueRow};
use crate::settlement::Settlement;

/// What an engine should hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub(super) jobs: BTreeMap<JobId, Entry>,
    pub(super) queues: BTreeMap<String, QueueSettings>,
    pub(super) accounts: BTreeMap<String, AccountRow>,
    /// What was claimed under a rate, when.
    starts: Vec<(String, Timestamp)>,
}

/// A job, the key it holds, and its settled attempts.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) job: Job,
    key: Option<UniqueRow>,
    /// May be claimed wherever its session is.
    is_released: bool,
    pub(super) runs: BTreeMap<u32, RunRow>,
}

impl Entry {
    /// A key is let go of for good by the first state that it does not count in.
    fn enter(&mut self, state: State) {
        self.job.state = state;
        self.key.take_if(|key| !key.states.contains(&state));
    }
}

impl Reference {
    /// The job that stands in a new one's way. A key whose time is over is let go of.
    pub(super) fn holder(&mut self, row: &JobRow) -> Option<JobId> {
        let key = &row.unique.as_ref()?.key;
        let holder =
            self.jobs.values_mut().find(|entry| entry.key.as_ref().is_some_and(|held| held.key == *key))?;
        holder.key.take_if(|held| held.until.is_some_and(|until| until <= row.inserted_at));
        holder.key.is_some().then_some(holder.job.id)
    }

    pub(super) fn insert(&mut self, id: JobId, row: &JobRow) {
        let (job, key) = (row.clone().stored_as(id), row.unique.clone());
        let entry = Entry { job, key, is_released: false, runs: BTreeMap::new() };
        assert!(self.jobs.insert(id, entry).is_none(), "{id} is new");
    }

    /// The settings that a claim sees.
    pub(super) fn seen(&self, queue: &str) -> QueueSettings {
        let named = || QueueSettings { name: queue.to_owned(), ..QueueSettings::default() };
        self.queues.get(queue).cloned().unwrap_or_else(named)
    }

    /// Until when nothing is claimed for the account, unless the node tries it.
    pub(super) fn blocked_until(&self, request: &ClaimRequest<'_>) -> Option<Timestamp> {
        let row = self.accounts.get(request.account)?;
        (row.trial_node.as_deref() != Some(request.node)).then_some(row.until)
    }

    pub(super) fn block(&mut self, row: &AccountRow) {
        let Some(known) = self.accounts.get_mut(&row.name) else {
            self.accounts.insert(row.name.clone(), row.clone());
            return;
        };
        (known.kind, known.reason) = (row.kind.clone(), row.reason.clone());
        (known.until, known.times) = (known.until.max(row.until), known.times.max(row.times));
        known.queues.extend(row.queues.iter().cloned());
        known.queues.sort();
        known.queues.dedup();
    }

    pub(super) fn begin_trial(&mut self, name: &str, seen: Timestamp, node: &str, until: Timestamp) -> bool {
        let Some(row) = self.accounts.get_mut(name).filter(|row| row.until == seen) else { return false };
        (row.until, row.trial_node) = (until, Some(node.to_owned()));
        true
    }

    pub(super) fn end_trial(&mut self, name: &str, node: &str, stopped: Option<&AccountRow>) -> bool {
        let tries = |row: &&mut AccountRow| row.trial_node.as_deref() == Some(node);
        let Some(row) = self.accounts.get_mut(name).filter(tries) else { return false };
        match stopped {
            None => drop(self.accounts.remove(name)),
            Some(new) => {
                (row.kind, row.reason, row.trial_node) = (new.kind.clone(), new.reason.clone(), None);
                (row.until, row.times) = (new.until, new.times);
            }
        }
        true
    }

    pub(super) fn claim(&mut self, request: &ClaimRequest<'_>) -> Vec<JobId> {
        let room = self.room(request);
        let mut order: Vec<_> = (self.available(request))
            .filter(|job| request.workers.contains(&job.worker.as_str()))
            .filter(|job| self.is_reachable(job, request))
            .map(|job| (job.priority, job.scheduled_at, job.id))
            .collect();
        order.sort();
        let mut claimed = Vec::new();
        for (_, _, id) in order {
            if claimed.len() < room && self.key_has_room(id, request.limits.per_key) {
                self.start(id, request);
                claimed.push(id);
            }
        }
        claimed
    }

    fn available(&self, request: &ClaimRequest<'_>) -> impl Iterator<Item = &Job> {
        let is_available =
            |job: &&Job| job.queue == request.queue && claimable(job, request.now) == State::Available;
        self.jobs.values().map(|entry| &entry.job).filter(is_available)
    }

    /// For how many jobs there is room, whatever their keys.
    fn room(&self, request: &ClaimRequest<'_>) -> usize {
        let settings = self.seen(request.queue);
        let slots = settings.concurrency.unwrap_or(request.limits.concurrency);
        let is_closed = settings.paused || slots == 0;
        if is_closed || !NODES.contains(&request.node) || self.blocked_until(request).is_some() {
            return 0;
        }
        let mut room = slots.saturating_sub(request.running) as usize;
        if !request.limits.span_nodes() && self.available(request).all(|job| job.concurrency_key.is_none()) {
            room += request.ahead as usize;
        }
        if let Some(global) = request.limits.global {
            let executing =
                |entry: &&Entry| entry.job.state == State::Executing && entry.job.queue == request.queue;
            room = room.min((global as usize).saturating_sub(self.jobs.values().filter(executing).count()));
        }
        if let Some(rate) = request.limits.rate {
            let counts = |(queue, start): &&(String, Timestamp)| {
                queue == request.queue && later(*start, rate.period) > request.now
            };
            room = room.min((rate.starts as usize).saturating_sub(self.starts.iter().filter(counts).count()));
        }
        room.min(request.at_most as usize)
    }

    /// When the next job of a queue is due that waits for its time.
    pub(super) fn next_due(&self, queue: &str, now: Timestamp) -> Option<Timestamp> {
        let jobs = self.jobs.values().map(|entry| &entry.job).filter(|job| job.queue == queue);
        let waiting = jobs.filter(|job| matches!(claimable(job, now), State::Scheduled | State::Retryable));
        waiting.map(|job| job.scheduled_at).min()
    }

    fn key_has_room(&self, id: JobId, per_key: u32) -> bool {
        let key = &self.jobs[&id].job.concurrency_key;
        let same = |entry: &&Entry| entry.job.state == State::Executing && entry.job.concurrency_key == *key;
        key.is_none() || self.jobs.values().filter(same).count() < per_key as usize
    }

    fn start(&mut self, id: JobId, request: &ClaimRequest<'_>) {
        let entry = self.jobs.get_mut(&id).expect("it is in line");
        entry.enter(State::Executing);
        entry.job.attempt += 1;
        entry.job.attempted_at = Some(request.now);
        entry.job.node = Some(request.node.to_owned());
        entry.job.reason = None;
        if request.limits.rate.is_some() {
            self.starts.push((request.queue.to_owned(), request.now));
        }
    }

    /// What is written now, and for each settlement whether it is written. Follow-on jobs are the caller's to insert.
    pub(super) fn settle<'a>(&mut self, batch: &'a [Settlement]) -> (Vec<&'a Settlement>, Vec<Settled>) {
        let (mut runs, mut new, mut written) = (BTreeSet::new(), Vec::new(), Vec::new());
        for settlement in batch {
            let is_first = runs.insert((settlement.id, settlement.attempt));
            let is_new = is_first && self.settle_one(settlement);
            new.extend(is_new.then_some(settlement));
            written.push(match is_first {
                true if self.is_written(settlement) => Settled::Written,
                true if self.is_running(settlement) => Settled::CancelRequested,
                _ => Settled::Superseded,
            });
        }
        (new, written)
    }

    fn is_written(&self, settlement: &Settlement) -> bool {
        let known = |run: &RunRow| {
            let (a, b) = (run, &settlement.run);
            (&a.node, a.finished_at, &a.ending) == (&b.node, b.finished_at, &b.ending)
        };
        self.jobs.get(&settlement.id).and_then(|entry| entry.runs.get(&settlement.attempt)).is_some_and(known)
    }

    fn is_running(&self, new: &Settlement) -> bool {
        let entry = self.jobs.get(&new.id);
        entry.is_some_and(|entry| entry.job.state == State::Executing && entry.job.attempt == new.attempt)
    }

    /// Whether it was the job's own run, and may go where it says.
    fn settle_one(&mut self, new: &Settlement) -> bool {
        let Some(entry) = self.jobs.get_mut(&new.id) else { return false };
        if entry.job.state != State::Executing || entry.job.attempt != new.attempt {
            return false;
        }
        if entry.job.cancel_requested && !new.state.is_final() {
            return false;
        }
        entry.enter(new.state);
        entry.runs.insert(new.attempt, new.run.clone());
        let job = &mut entry.job;
        (job.finished_at, job.reason) = (new.finished_at, new.reason.clone());
        job.scheduled_at = new.scheduled_at;
        job.uncounted = job.uncounted.saturating_add_signed(new.uncounted);
        job.snoozes += u32::from(new.snoozed);
        job.meta = new.meta.clone().unwrap_or_else(|| job.meta.clone());
        job.continuation = new.continuation.clone();
        (job.node, job.cancel_requested) = (None, false);
        entry.is_released = false;
        true
    }

    /// Whether the job could be cancelled, or asked for it.
    pub(super) fn cancel(&mut self, id: JobId, now: Timestamp) -> bool {
        let Some(entry) = self.jobs.get_mut(&id).filter(|entry| !entry.job.state.is_final()) else {
            return false;
        };
        if entry.job.state == State::Executing {
            entry.job.cancel_requested = true;
        } else {
            entry.enter(State::Cancelled);
            entry.job.finished_at = Some(now);
            entry.job.reason = Some("cancelled on request".to_owned());
        }
        true
    }

    pub(super) fn retry(&mut self, id: JobId, now: Timestamp) -> bool {
        let Some(entry) = self.jobs.get_mut(&id) else { return false };
        if matches!(entry.job.state, State::Available | State::Executing) {
            return false;
        }
        entry.enter(State::Available);
        let job = &mut entry.job;
        (job.scheduled_at, job.finished_at, job.reason) = (now, None, None);
        job.max_attempts = job.max_attempts.max(job.counted_attempts() + 1);
        true
    }

    pub(super) fn delete(&mut self, id: JobId) -> bool {
        let may = self.jobs.get(&id).is_some_and(|entry| entry.job.state != State::Executing);
        if may {
            self.jobs.remove(&id);
        }
        may
    }

    pub(super) fn change(&mut self, queue: &str, change: QueueChange) -> QueueSettings {
        if change == QueueChange::Resume {
            self.accounts.retain(|_, row| !row.queues.iter().any(|name| name == queue));
        }
        let settings = self.settings(queue);
        match change {
            QueueChange::Pause => settings.paused = true,
            QueueChange::Resume => settings.paused = false,
            QueueChange::Scale(concurrency) => settings.concurrency = concurrency,
        }
        settings.clone()
    }

    /// How many jobs were released.
    pub(super) fn release_sessions(&mut self, due_before: Timestamp, kept: &[(String, String)]) -> u64 {
        let mut released = 0;
        for entry in self.jobs.values_mut() {
            let job = &entry.job;
            let Some(host) = job.continuation.session_host() else { continue };
            let waits = matches!(job.state, State::Scheduled | State::Available | State::Retryable);
            let is_kept = kept.iter().any(|(queue, its)| *queue == job.queue && its == host);
            if waits && job.scheduled_at <= due_before && !is_kept && !entry.is_released {
                entry.is_released = true;
                released += 1;
            }
        }
        released
    }

    /// Whether a job may be claimed where the request comes from.
    fn is_reachable(&self, job: &Job, request: &ClaimRequest<'_>) -> bool {
        let host = job.continuation.session_host();
        host.is_none_or(|host| host == request.host) || self.jobs[&job.id].is_released
    }

    fn settings(&mut self, queue: &str) -> &mut QueueSettings {
        let new = || QueueSettings { name: queue.to_owned(), ..QueueSettings::default() };
        self.queues.entry(queue.to_owned()).or_insert_with(new)
    }
}

/// A job's state, where one that waits for its time and is due counts as claimable: when an engine writes
/// that down is its own affair.
pub(super) fn claimable(job: &Job, now: Timestamp) -> State {
    match job.state {
        State::Scheduled | State::Retryable if job.scheduled_at <= now => State::Available,
        other => other,
    }
}
