//! Thousands of random operations, after each of which the engine and a [`Reference`] must agree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Database;
use super::fixture::{
    HOSTS, NODES, all_jobs, at, continuing, due, end, failure, fields, ids, insert_each, new, open,
};
use super::random::Random;
use super::reference::{Reference, claimable};
use crate::clock::{earlier, later};
use crate::engine::{AccountRow, ClaimRequest, Engine, Limits, QueueChange};
use crate::error::Error;
use crate::job::{Continuation, Job, JobId, JobRow, State, UniqueRow};
use crate::settlement::Settlement;

const QUEUES: [&str; 2] = ["a", "b"];
const ACCOUNTS: [&str; 2] = ["mine", "theirs"];
const WORKERS: [&str; 3] = ["known", "other", "unknown"];

/// A few thousand operations on two connections in turn.
pub async fn random_operations(database: &dyn Database) {
    walk(database, 2_000).await;
}

/// So many steps, in stretches that each begin with an empty queue and habits of their own: of all that may happen,
/// what happens alone is soon rare.
async fn walk(database: &dyn Database, steps: u32) {
    let engines = [open(database).await, database.connect().await];
    let mut walk = Walk {
        engines,
        random: Random::new(),
        habits: Habits::default(),
        reference: Reference::default(),
        said: Vec::new(),
        now: at(0),
        step: 0,
        rows: 0,
    };
    for step in 0..steps {
        walk.step = step;
        if step % 100 == 0 {
            walk.begin_anew().await;
        }
        walk.one_step().await;
        if step % 20 == 19 {
            walk.compare().await;
        }
    }
}

/// What there is in a stretch of the walk.
#[derive(Clone, Copy, Debug, Default)]
struct Habits {
    concurrency_keys: bool,
    unique_keys: bool,
    /// Jobs that are due later.
    waits: bool,
    /// Those that other nodes share.
    limits_of_all: bool,
    pauses: bool,
    /// What a settlement may have to say besides where its job goes.
    more_to_say: bool,
}

impl Habits {
    fn any(random: &mut Random) -> Self {
        Self {
            concurrency_keys: random.once_in(2),
            unique_keys: random.once_in(2),
            waits: random.once_in(2),
            limits_of_all: random.once_in(2),
            pauses: random.once_in(2),
            more_to_say: random.once_in(2),
        }
    }
}

struct Walk {
    engines: [Arc<dyn Engine>; 2],
    random: Random,
    habits: Habits,
    reference: Reference,
    /// Settlements of a while ago.
    said: Vec<Settlement>,
    now: Timestamp,
    step: u32,
    /// How many rows were made: each has its number as its input.
    rows: u32,
}

impl Walk {
    fn engine(&mut self) -> Arc<dyn Engine> {
        Arc::clone(&self.engines[self.random.below(2)])
    }

    /// Ends what runs, removes every job, opens the queues.
    async fn begin_anew(&mut self) {
        let engine = self.engine();
        let jobs: Vec<_> = self.reference.jobs.values().map(|entry| entry.job.clone()).collect();
        let ends: Vec<_> = (jobs.iter().filter(|job| job.state == State::Executing))
            .map(|run| end(run, State::Completed, self.now))
            .collect();
        let settled = engine.settle(&ends, self.now).await.expect("a settlement");
        assert!(settled.iter().all(|settled| settled.is_written()), "step {}", self.step);
        for job in &jobs {
            assert!(done(engine.delete(job.id).await), "step {}: {job:?}", self.step);
        }
        for queue in QUEUES {
            for change in [QueueChange::Resume, QueueChange::Scale(None)] {
                engine.change_queue(queue, change).await.expect("a change");
            }
        }
        // The starts under a rate stay.
        self.reference.jobs.clear();
        self.reference.queues.clear();
        self.reference.accounts.clear();
        self.habits = Habits::any(&mut self.random);
    }

    async fn one_step(&mut self) {
        match self.random.below(100) {
            0..25 => self.insert().await,
            25..50 => self.claim().await,
            50..65 => self.settle().await,
            65..75 => self.turn().await,
            75..80 => self.cancel().await,
            80..86 => self.retry().await,
            86..89 => self.delete().await,
            89..92 => self.change_queue().await,
            92..94 => self.change_account().await,
            94..96 => self.release_sessions().await,
            // Now and then to the very moment at which something is due.
            _ => self.now = later(self.now, Duration::from_millis(500 * self.random.below(10) as u64)),
        }
    }

    async fn insert(&mut self) {
        let rows: Vec<_> = (0..1 + self.random.below(4)).map(|_| self.row()).collect();
        let inserted = insert_each(&*self.engine(), &rows).await;
        for (row, answer) in rows.iter().zip(&inserted) {
            match self.reference.holder(row) {
                Some(holder) => {
                    assert_eq!((answer.duplicate, answer.id()), (true, holder), "step {}", self.step)
                }
                None => {
                    assert!(!answer.duplicate, "step {}: {row:?}", self.step);
                    self.reference.insert(answer.id(), row);
                }
            }
        }
    }

    fn row(&mut self) -> JobRow {
        let wait = Duration::from_secs(self.random.below(10) as u64);
        let waits = self.habits.waits && self.random.once_in(3);
        let row = if waits { due(self.now, later(self.now, wait)) } else { new(self.now) };
        let has_key = self.habits.concurrency_keys && self.random.once_in(3);
        let key = has_key.then(|| self.random.pick(&["k1", "k2", "k3"]).to_owned());
        let unique = (self.habits.unique_keys && self.random.once_in(4)).then(|| self.unique());
        // It may have waited for its batch.
        let inserted_at = earlier(self.now, Duration::from_secs(self.random.below(4) as u64));
        self.rows += 1;
        JobRow {
            queue: self.random.pick(&QUEUES).to_owned(),
            worker: self.random.pick(&WORKERS).to_owned(),
            priority: self.random.below(3) as u8,
            max_attempts: 1 + self.random.below(3) as u32,
            input: json!({ "row": self.rows }),
            inserted_at,
            concurrency_key: key,
            unique,
            ..row
        }
    }

    fn unique(&mut self) -> UniqueRow {
        let wait = Duration::from_secs(self.random.below(10) as u64);
        let counts =
            |state: &State| matches!(state, State::Scheduled | State::Available) || self.random.once_in(2);
        UniqueRow {
            states: State::ALL.into_iter().filter(counts).collect(),
            key: self.random.pick(&["u1", "u2", "u3", "u4"]).to_owned(),
            until: self.random.once_in(2).then(|| later(self.now, wait)),
        }
    }

    fn request(&mut self) -> ClaimRequest<'static> {
        let mut limits =
            Limits::local(1 + self.random.below(5) as u32).per_key(1 + self.random.below(2) as u32);
        if self.habits.limits_of_all && self.random.once_in(3) {
            limits = limits.global(1 + self.random.below(12) as u32);
        }
        if self.habits.limits_of_all && self.random.once_in(3) {
            limits = limits.rate(1 + self.random.below(8) as u32, Duration::from_secs(20));
        }
        ClaimRequest {
            queue: self.random.pick(&QUEUES),
            node: if self.random.once_in(20) { "unknown" } else { self.random.pick(&NODES) },
            workers: if self.random.once_in(5) { &WORKERS } else { &WORKERS[..2] },
            limits,
            running: self.random.below(3) as u32,
            ahead: if self.random.once_in(3) { self.random.below(5) as u32 } else { 0 },
            host: self.random.pick(&HOSTS),
            at_most: if self.random.once_in(5) { self.random.below(3) as u32 } else { u32::MAX },
            account: self.random.pick(&ACCOUNTS),
            now: self.now,
        }
    }

    async fn claim(&mut self) {
        let request = self.request();
        let claimed = self.engine().claim(&request).await.expect("a claim");
        let expected = self.reference.claim(&request);
        assert_eq!(ids(&claimed.jobs), expected, "step {}: {request:?}", self.step);
        for job in &claimed.jobs {
            assert_eq!(fields(job), fields(&self.reference.jobs[&job.id].job), "step {}", self.step);
        }
        assert_eq!(claimed.settings, self.reference.seen(request.queue), "step {}", self.step);
        assert_eq!(claimed.blocked_until, self.reference.blocked_until(&request), "step {}", self.step);
        // A queue in which nothing may start need not be looked through, and a rate has its own moment.
        if request.limits.rate.is_none() && claimed.next_due.is_none_or(|due| due > self.now) {
            assert_eq!(
                claimed.next_due,
                self.reference.next_due(request.queue, self.now),
                "step {}",
                self.step
            );
        }
    }

    /// The ends of a few runs, some of them not the job's own, some of them said before.
    fn ends(&mut self) -> Vec<Settlement> {
        let mut runs: Vec<Job> = (self.reference.jobs.values().map(|entry| entry.job.clone()))
            .filter(|job| job.state == State::Executing || self.random.once_in(40))
            .collect();
        self.random.shuffle(&mut runs);
        runs.truncate(self.random.below(6));
        if self.random.once_in(5) {
            runs.extend(runs.first().cloned());
        }
        let mut ends: Vec<_> = runs.iter().map(|run| self.end(run)).collect();
        if self.random.once_in(5) {
            ends.extend(self.said.iter().take(self.random.below(4)).cloned());
        }
        self.random.shuffle(&mut ends);
        if self.random.once_in(2) {
            self.said.clone_from(&ends);
        }
        ends
    }

    fn end(&mut self, run: &Job) -> Settlement {
        const STATES: [State; 7] = [
            State::Completed,
            State::Completed,
            State::Available,
            State::Discarded,
            State::Cancelled,
            State::Retryable,
            State::Scheduled,
        ];
        let state = self.random.pick(if self.habits.waits { &STATES } else { &STATES[..5] });
        let wait = Duration::from_secs(if self.habits.waits { self.random.below(8) as u64 } else { 0 });
        let attempt = if self.random.once_in(10) { run.attempt.wrapping_sub(1) } else { run.attempt };
        let scheduled_at = if state.is_final() { run.scheduled_at } else { later(self.now, wait) };
        let end = Settlement { attempt, scheduled_at, ..end(run, state, self.now) };
        if !self.habits.more_to_say {
            return end;
        }
        Settlement {
            reason: self.random.once_in(2).then(|| format!("step {}", self.step)),
            uncounted: self.random.below(6) as i32 / 2 - 1,
            snoozed: self.random.once_in(4),
            meta: self
                .random
                .once_in(4)
                .then(|| Map::from_iter([("step".to_owned(), Value::from(self.step))])),
            continuation: self.continuation(),
            error: self.random.once_in(3).then(|| failure(run, self.now)),
            ..end
        }
    }

    fn continuation(&mut self) -> Continuation {
        if !self.random.once_in(4) {
            return Continuation { interruptions: self.random.below(2) as u32, ..Continuation::default() };
        }
        let host = self.random.pick(&[None, Some(HOSTS[0]), Some(HOSTS[1])]);
        continuing(&format!("session {}", self.step), host)
    }

    async fn settle(&mut self) {
        let mut ends = self.ends();
        for end in &mut ends {
            if self.random.once_in(5) {
                end.follow_ons = vec![self.row(), self.row()];
            }
        }
        let settled = self.engine().settle(&ends, self.now).await.expect("a settlement");
        let (new, expected) = self.reference.settle(&ends);
        assert_eq!(settled, expected, "step {}", self.step);
        let rows: Vec<_> = new.iter().flat_map(|end| &end.follow_ons).collect();
        if rows.is_empty() {
            return;
        }
        let jobs = all_jobs(&*self.engines[0]).await;
        let mut new: Vec<_> = jobs.iter().filter(|job| !self.reference.jobs.contains_key(&job.id)).collect();
        for row in rows {
            let place = new.iter().position(|job| job.input == row.input);
            let is_free = self.reference.holder(row).is_none();
            assert_eq!(place.is_some(), is_free, "step {}: {row:?}", self.step);
            if let Some(place) = place {
                self.reference.insert(new.swap_remove(place).id, row);
            }
        }
        assert!(new.is_empty(), "step {}: {new:?}", self.step);
    }

    /// The claim may see the queue as it was before the settlements or as it is after them.
    async fn turn(&mut self) {
        let (mut ends, request) = (self.ends(), self.request());
        if self.random.once_in(2) {
            // Most often all of them complete, and there is nothing else to say.
            ends = ends.into_iter().map(completing).collect();
        }
        let turn = self.engine().turn(&ends, Some(&request), self.now).await.expect("a turn");
        let mut first = self.reference.clone();
        let (_, settled) = first.settle(&ends);
        assert_eq!(turn.settled, settled, "step {}", self.step);
        let after = first.claim(&request);
        let mut other = self.reference.clone();
        let before = other.claim(&request);
        other.settle(&ends);
        let claimed = ids(&turn.claimed.jobs);
        assert!(
            claimed == after || claimed == before,
            "step {}: {claimed:?}, not {after:?}, {before:?}",
            self.step
        );
        self.reference = if claimed == after { first } else { other };
    }

    fn any_job(&mut self) -> JobId {
        let ids: Vec<_> = self.reference.jobs.keys().copied().collect();
        if ids.is_empty() { JobId(1) } else { self.random.pick(&ids) }
    }

    /// A job that is due may be written as such or not yet: the engine's word is taken for it.
    async fn agree_on(&mut self, id: JobId) {
        let stored = self.engines[0].job(id).await.expect("a read");
        let (Some(stored), Some(entry)) = (stored, self.reference.jobs.get_mut(&id)) else { return };
        assert_eq!(claimable(&stored, self.now), claimable(&entry.job, self.now), "step {}", self.step);
        entry.job.state = stored.state;
    }

    async fn cancel(&mut self) {
        let id = self.any_job();
        let answer = self.engine().cancel(id, self.now).await;
        assert_eq!(done(answer), self.reference.cancel(id, self.now), "step {}: {id}", self.step);
    }

    async fn retry(&mut self) {
        let id = self.any_job();
        self.agree_on(id).await;
        let answer = self.engine().retry(id, self.now).await;
        assert_eq!(done(answer), self.reference.retry(id, self.now), "step {}: {id}", self.step);
    }

    async fn delete(&mut self) {
        let id = self.any_job();
        let answer = self.engine().delete(id).await;
        assert_eq!(done(answer), self.reference.delete(id), "step {}: {id}", self.step);
    }

    async fn change_queue(&mut self) {
        let queue = self.random.pick(&QUEUES);
        let scale = QueueChange::Scale(Some(self.random.pick(&[0, 1, 3])));
        let changes =
            [scale, QueueChange::Scale(None), QueueChange::Resume, QueueChange::Resume, QueueChange::Pause];
        let change = self.random.pick(if self.habits.pauses { &changes } else { &changes[..4] });
        let settings = self.engine().change_queue(queue, change).await.expect("a change");
        assert_eq!(settings, self.reference.change(queue, change), "step {}", self.step);
    }

    async fn release_sessions(&mut self) {
        let due_before = earlier(self.now, Duration::from_secs(self.random.below(20) as u64));
        let mut kept = Vec::new();
        for _ in 0..self.random.below(3) {
            kept.push((self.random.pick(&QUEUES).to_owned(), self.random.pick(&HOSTS).to_owned()));
        }
        let released = self.engine().release_sessions(due_before, &kept).await.expect("a write");
        assert_eq!(released, self.reference.release_sessions(due_before, &kept), "step {}", self.step);
    }

    /// Stops claims for an account, begins a trial or ends one.
    async fn change_account(&mut self) {
        let (name, node) = (self.random.pick(&ACCOUNTS), self.random.pick(&NODES));
        let wait = Duration::from_secs(self.random.below(8) as u64);
        let row = AccountRow {
            name: name.to_owned(),
            kind: "usage_limit".to_owned(),
            reason: format!("step {}", self.step),
            since: self.now,
            until: later(self.now, wait),
            times: 1 + self.random.below(4) as u32,
            queues: vec![self.random.pick(&QUEUES).to_owned()],
            trial_node: None,
        };
        let (engine, known) = (self.engine(), self.reference.accounts.get(name).cloned());
        match self.random.below(if self.habits.pauses { 4 } else { 3 }) {
            0 => {
                let seen = known.map_or(self.now, |known| known.until);
                let begun = engine.begin_trial(name, seen, node, row.until).await.expect("a write");
                assert_eq!(
                    begun,
                    self.reference.begin_trial(name, seen, node, row.until),
                    "step {}",
                    self.step
                );
            }
            1 | 2 => {
                let stopped = Some(&row).filter(|_| self.random.once_in(3));
                let ended = engine.end_trial(name, node, stopped).await.expect("a write");
                assert_eq!(ended, self.reference.end_trial(name, node, stopped), "step {}", self.step);
            }
            _ => {
                engine.block_account(&row).await.expect("a write");
                self.reference.block(&row);
            }
        }
        let rows: Vec<_> = self.reference.accounts.values().cloned().collect();
        assert_eq!(engine.accounts().await.expect("a read"), rows, "step {}", self.step);
    }

    /// Every job in every field, the counts, the ledgers.
    async fn compare(&mut self) {
        let engine = self.engine();
        let plain = |job: &Job| fields(&Job { state: claimable(job, self.now), ..job.clone() });
        let stored = all_jobs(&*engine).await;
        let expected: Vec<_> = self.reference.jobs.values().map(|entry| plain(&entry.job)).collect();
        for (stored, expected) in stored.iter().map(plain).zip(&expected) {
            assert_eq!(stored, *expected, "step {}", self.step);
        }
        assert_eq!(stored.len(), expected.len(), "step {}", self.step);
        let mut counted = BTreeMap::new();
        for job in &stored {
            *counted.entry((job.queue.clone(), job.state.name())).or_insert(0) += 1;
        }
        let counts = engine.counts().await.expect("a count").into_iter();
        let counts: BTreeMap<_, _> =
            counts.map(|count| ((count.queue, count.state.name()), count.jobs)).collect();
        assert_eq!(counts, counted, "step {}", self.step);
        if let Some(entry) = self.reference.jobs.values().nth(self.random.below(1 + stored.len())) {
            let runs = engine.runs(entry.job.id).await.expect("a read");
            assert_eq!(runs.len(), entry.runs.len(), "step {}: {:?}", self.step, entry.job);
        }
    }
}

/// The settlement of the same run that completes its job and says nothing else.
fn completing(new: Settlement) -> Settlement {
    Settlement {
        state: State::Completed,
        finished_at: Some(new.run.finished_at),
        reason: None,
        uncounted: 0,
        snoozed: false,
        meta: None,
        continuation: Continuation::default(),
        error: None,
        ..new
    }
}

/// Whether the engine has done it; an error other than that it may not be done is one.
fn done<T>(answer: Result<T, Error>) -> bool {
    match answer {
        Ok(_) => true,
        Err(Error::WrongState { .. } | Error::NoSuchJob(_)) => false,
        Err(error) => panic!("{error}"),
    }
}
