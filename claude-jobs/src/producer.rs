//! One queue's loop: how many jobs are wanted, claim them, run them, settle them, wait for a reason to
//! look again.
//!
//! Settling and claiming go together as a *turn*, mostly one round trip to the database. While a turn is under
//! way what ends goes into the next one. The loop itself never waits for the database.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claude::Stop;
use crate::clock::between;
use crate::engine::{self, Claimed, Limits, Settled};
use crate::error::Error;
use crate::executor::{Finished, Leash};
use crate::job::{Job, JobId};
use crate::runtime::gate::Admission;
use crate::runtime::shared::Shared;
use crate::telemetry::{content, meter, spans};

mod blocked;
mod pace;
mod reconciling;
mod turn;

use blocked::{Blocked, Refused};
use pace::Pace;
use reconciling::Reconciling;
use turn::{Batch, Kind, Taken, Turn, TurnResult};

/// The longest a producer waits before it looks again, should every wake-up have been missed.
const POLL: Duration = Duration::from_secs(5);

/// For how long a job that was claimed ahead may wait for a slot before it is given back.
const CLAIMED_AHEAD: Duration = Duration::from_millis(200);

/// For how long a runtime that is to end tries to look up what was claimed for it, where nothing else keeps it.
const LAST_LOOK: Duration = Duration::from_secs(10);

/// After so many runs in a row it is the turn of other tasks.
const AT_A_STRETCH: usize = 64;

/// A second turn starts beside the first only for this many jobs.
const WORTH_A_SECOND_TURN: usize = 100;

pub(crate) struct Producer {
    shared: Arc<Shared>,
    name: String,
    limits: Limits,
    /// Whether there is nothing due, nothing running and nothing to settle.
    idle: watch::Sender<bool>,

    /// How many jobs at once, as the queue's settings last said.
    slots: u32,
    runs: JoinSet<(Finished, Duration)>,
    /// The job of each run, should the run itself fail to say.
    jobs: HashMap<task::Id, Arc<Job>>,
    /// Claimed ahead, or found to be ours: to run as soon as there is a slot.
    waiting: VecDeque<(Instant, Job)>,
    unsettled: Batch,
    refused: Refused,
    turns: JoinSet<TurnResult>,
    /// What the turns under way are about.
    under_way: HashMap<task::Id, UnderWay>,
    /// Every attempt that we have claimed and not settled.
    ours: HashSet<(JobId, u32)>,
    pace: Pace,

    /// Whether there may be something to claim.
    look: bool,
    next_look: Instant,
    /// No turn before this: the last one failed.
    blocked: Option<Blocked>,
    /// Whether what a claim without room would say is due: the queue may have been rescaled.
    asks_settings: bool,
    /// Whether jobs with a concurrency key wait, of which none is claimed ahead.
    has_keyed: bool,
    reconciling: Reconciling,
}

struct UnderWay {
    batch: Arc<Batch>,
    /// How many jobs it may bring.
    asked: u32,
    kind: Kind,
}

impl Producer {
    pub(crate) fn new(shared: Arc<Shared>, name: String, limits: Limits, idle: watch::Sender<bool>) -> Self {
        let reconciling = Reconciling::after(shared.terms.lease());
        Self {
            shared,
            name,
            limits,
            idle,
            slots: limits.concurrency,
            runs: JoinSet::new(),
            jobs: HashMap::new(),
            waiting: VecDeque::new(),
            unsettled: Batch::default(),
            refused: Refused::default(),
            turns: JoinSet::new(),
            under_way: HashMap::new(),
            ours: HashSet::new(),
            pace: Pace::new(),
            look: true,
            next_look: Instant::now() + POLL,
            blocked: None,
            asks_settings: false,
            has_keyed: false,
            reconciling,
        }
    }

    /// Serves until `claiming` is cancelled, then waits for its runs and settles them.
    pub(crate) async fn serve(mut self, claiming: CancellationToken) {
        let mut wakes = self.shared.queue.wakes().of(&self.name);
        loop {
            let is_open = !claiming.is_cancelled();
            self.give_back(is_open);
            if self.pace.is_instant() && self.claim_ahead() > 0 && !self.waiting.is_empty() {
                // What comes next is fetched while these run, which keeps this thread from it.
                self.start_turns(is_open);
            }
            self.start_runs().await;
            self.gather().await;
            self.start_turns(is_open);
            if !is_open && self.is_done() {
                return;
            }
            self.tell_idle();
            let timer = self.timer(is_open);
            tokio::select! {
                Some(run) = self.runs.join_next_with_id() => self.run_ended(run),
                Some(turn) = self.turns.join_next_with_id() => self.turn_ended(turn, is_open),
                _ = wakes.changed(), if is_open => self.look = true,
                () = tokio::time::sleep_until(timer) => self.time_is_up(),
                () = claiming.cancelled(), if is_open => {}
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_settled = self.unsettled.is_empty() && self.refused.is_empty();
        let has_work = !(self.runs.is_empty() && self.turns.is_empty() && is_settled);
        !has_work && !self.reconciling.is_in_doubt()
    }

    fn tell_idle(&self) {
        let looks = self.look && !self.shared.gate().gives_up(self.shared.queue.now());
        let idle = self.is_done() && self.waiting.is_empty() && !looks && self.blocked.is_none();
        self.idle.send_if_modified(|told| std::mem::replace(told, idle) != idle);
    }

    /// The next moment at which something has to be done.
    fn timer(&self, is_open: bool) -> Instant {
        let now = Instant::now();
        let blocked = self.blocked.as_ref().map(|blocked| blocked.until).filter(|until| *until > now);
        let given_back = self.waiting.front().map(|(claimed, _)| *claimed + CLAIMED_AHEAD);
        let reconciling = Some(self.reconciling.next).filter(|next| is_open && *next > now);
        let look = is_open.then_some(self.next_look);
        let refused = self.refused.until().filter(|until| *until > now);
        let moments = [blocked, given_back, reconciling, look, refused].into_iter().flatten();
        moments.min().unwrap_or(now + POLL)
    }

    fn time_is_up(&mut self) {
        let now = Instant::now();
        if now >= self.next_look {
            (self.look, self.asks_settings) = (true, true);
            self.next_look = now + POLL;
        }
    }

    // Runs.

    async fn start_runs(&mut self) {
        let mut started = 0;
        while self.runs.len() < self.slots as usize
            && let Some((claimed, job)) = self.waiting.pop_front()
        {
            match self.shared.gate().admit(&job, || self.shared.running()) {
                Admission::Yes => self.start(job),
                Admission::No => self.unsettled.push(self.shared.executor.give_back(Arc::new(job))),
                Admission::Later => {
                    self.waiting.push_front((claimed, job));
                    return;
                }
            }
            started += 1;
            if started % AT_A_STRETCH == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn start(&mut self, job: Job) {
        let Some(lease) = self.shared.lease_of(job.node.as_deref()) else {
            // We were declared dead since: it is another's, or will be.
            tracing::warn!(job.id = %job.id, "not started: it was claimed under a lease that is over");
            self.ours.remove(&(job.id, job.attempt));
            self.shared.gate().ended(&job);
            return;
        };
        let (shared, stop, job) = (Arc::clone(&self.shared), Stop::default(), Arc::new(job));
        shared.runs().insert((job.id, job.attempt), stop.clone());
        let (running, leash) = (Arc::clone(&job), Leash { stop, lease, trace: None });
        let mut run = Box::pin(async move {
            let started = Instant::now();
            let finished = shared.executor.execute(running, leash).await;
            (finished, started.elapsed())
        });
        if self.pace.is_instant() {
            // Most such runs never wait for anything; one that does becomes a task, which asks again.
            let mut nobody = Context::from_waker(Waker::noop());
            match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut nobody))) {
                Ok(Poll::Ready(ended)) => return self.ended(job, Ok(ended)),
                Ok(Poll::Pending) => {}
                Err(_) => return self.ended(job, Err("it panicked".to_owned())),
            }
        }
        let run = self.runs.spawn(run);
        self.jobs.insert(run.id(), job);
    }

    fn run_ended(&mut self, run: RunResult) {
        self.take_run(run);
        self.take_runs();
    }

    fn take_runs(&mut self) {
        while let Some(run) = self.runs.try_join_next_with_id() {
            self.take_run(run);
        }
    }

    /// Those that are ending at this moment come along into the next turn: a round trip for each would
    /// take longer than they do.
    async fn gather(&mut self) {
        let (started, patience) = (Instant::now(), self.pace.patience());
        let may_start = self.turns.is_empty() || self.shared.queue.engine().turns_overlap();
        let is_due = may_start && self.waiting.is_empty() && !self.unsettled.is_empty();
        while is_due && !self.runs.is_empty() && started.elapsed() < patience {
            tokio::task::yield_now().await;
            self.take_runs();
        }
    }

    fn take_run(&mut self, run: RunResult) {
        let id = run.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(job) = self.jobs.remove(&id) else { return };
        self.ended(job, run.map(|(_, ended)| ended).map_err(|error| error.to_string()));
    }

    fn ended(&mut self, job: Arc<Job>, run: Result<(Finished, Duration), String>) {
        self.shared.runs().remove(&(job.id, job.attempt));
        self.shared.gate().ended(&job);
        let finished = match run {
            Ok((finished, took)) => {
                self.pace.note(took);
                finished
            }
            Err(error) => {
                tracing::error!(job.id = %job.id, error = content(&error), "a run broke down");
                self.shared.executor.broken(job, &error)
            }
        };
        self.unsettled.push(finished);
    }

    /// Jobs that were claimed and shall not start here.
    fn give_back(&mut self, is_open: bool) {
        let now = Instant::now();
        let has_waited = |claimed: Instant| now.duration_since(claimed) >= CLAIMED_AHEAD;
        let gate = self.shared.gate();
        let may_start = is_open && (self.waiting.is_empty() || (self.shared.may_start() && !gate.is_shut()));
        let is_full = !self.waiting.is_empty()
            && (self.runs.len() >= self.slots as usize || gate.room(|| self.shared.running()) == 0);
        while let Some((claimed, _)) = self.waiting.front()
            && (!may_start || (has_waited(*claimed) && is_full))
            && let Some((_, job)) = self.waiting.pop_front()
        {
            // The pace was judged wrong.
            self.pace = Pace::new();
            let finished = self.shared.executor.give_back(Arc::new(job));
            self.unsettled.push(finished);
        }
    }

    // Turns.

    fn start_turns(&mut self, is_open: bool) {
        if self.blocked.as_ref().is_some_and(|blocked| Instant::now() < blocked.until) {
            return;
        }
        self.unsettled.put_back(self.refused.due());
        while let Some(kind) = self.next_turn(is_open) {
            let batch = Arc::new(std::mem::take(&mut self.unsettled));
            let turn = Turn {
                shared: Arc::clone(&self.shared),
                queue: self.name.clone(),
                limits: self.limits,
                batch: Arc::clone(&batch),
                kind,
            };
            let asked = kind.asked(self.slots);
            let id = self.turns.spawn(turn.take()).id();
            self.under_way.insert(id, UnderWay { batch, asked, kind });
        }
    }

    /// What the next turn is about, if one is due. A second beside the first only when there is much
    /// to do.
    fn next_turn(&mut self, is_open: bool) -> Option<Kind> {
        let only = self.under_way.values().next();
        if self.under_way.len() > 1 || only.is_some_and(|turn| matches!(turn.kind, Kind::Reconcile)) {
            return None;
        }
        let now = Instant::now();
        if now >= self.reconciling.next && (is_open || self.reconciling.is_in_doubt()) {
            return only.is_none().then_some(Kind::Reconcile);
        }
        let asked: u32 = self.under_way.values().map(|turn| turn.asked).sum();
        let in_hand = u32::try_from(self.runs.len() + self.waiting.len()).unwrap_or(u32::MAX);
        let running = in_hand.saturating_add(asked);
        let room = self.slots.saturating_sub(running);
        let most_ahead = self.claim_ahead();
        // Half of them at a time: while the first half runs, the second is fetched.
        let half = most_ahead.div_ceil(2);
        let mut ahead =
            self.slots.saturating_add(most_ahead).saturating_sub(running.max(self.slots)).min(half);
        if room == 0 && ahead < half {
            // Few at a time would cost a round trip each.
            ahead = 0;
        }
        let at_most = self.shared.gate().room(|| self.shared.running());
        // A queue that is scaled to nothing is looked at too: the answer says when that has changed.
        let has_room = room + ahead > 0 || self.slots == 0 || self.asks_settings;
        let has_reason = self.look || !self.unsettled.is_empty();
        let claims = is_open && has_room && has_reason && at_most > 0 && self.shared.may_start();
        if self.unsettled.is_empty() && !(claims && self.look) {
            return None;
        }
        let much = self.unsettled.len().max(if claims { (room + ahead) as usize } else { 0 });
        if only.is_some() && !self.is_worth_a_second_turn(much, most_ahead) {
            return None;
        }
        if !claims {
            return Some(Kind::Settle);
        }
        (self.look, self.asks_settings) = (false, false);
        self.next_look = now + POLL;
        Some(Kind::Claim { running, ahead, at_most })
    }

    /// Where nothing is claimed ahead, the slots of jobs that are over in no time would be empty while the
    /// first turn is under way; else only a large batch is worth it. Jobs that are over where they are claimed
    /// come and go together: two turns would share them and cost twice.
    fn is_worth_a_second_turn(&self, jobs: usize, most_ahead: u32) -> bool {
        match most_ahead {
            _ if !self.shared.queue.engine().turns_overlap() => false,
            0 => jobs > 0 && !self.pace.patience().is_zero() && !self.pace.is_instant(),
            _ => jobs >= WORTH_A_SECOND_TURN,
        }
    }

    fn claim_ahead(&self) -> u32 {
        let allowed = self.limits.claim_ahead && !self.limits.span_nodes() && !self.has_keyed;
        if allowed { self.pace.ahead(self.slots) } else { 0 }
    }

    fn turn_ended(&mut self, turn: Result<(task::Id, TurnResult), JoinError>, is_open: bool) {
        let id = turn.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(UnderWay { batch, asked, kind }) = self.under_way.remove(&id) else { return };
        let mut batch = Arc::unwrap_or_clone(batch);
        let result = turn.map_err(|error| Error::Database(error.into())).and_then(|(_, result)| result);
        match result {
            Ok(Taken { turn: engine::Turn { settled, claimed }, replaced, refused, settles_only }) => {
                self.blocked = None;
                batch.replace(replaced);
                self.refused.put(batch.take_out(&refused));
                if !is_open {
                    let unsettled = self.refused.give_up(self.shared.terms.lease());
                    self.leave_to_be_rescued(unsettled);
                }
                self.settled(batch, &settled);
                match kind {
                    // What it was to ask is still to be asked.
                    _ if settles_only => (self.look, self.asks_settings) = (true, true),
                    Kind::Settle => {}
                    Kind::Claim { .. } => self.claimed(claimed, asked),
                    Kind::Reconcile => self.adopt(claimed.jobs),
                }
            }
            Err(error) => self.failed(batch, kind, &error, is_open),
        }
    }

    fn settled(&mut self, batch: Batch, settled: &[Settled]) {
        for ((job, settlement, settling), settled) in batch.into_iter().zip(settled) {
            if *settled == Settled::CancelRequested {
                self.unsettled.cancel(job, &settlement, settling, self.shared.queue.now());
                continue;
            }
            let is_ours = settled.is_written();
            self.ours.remove(&(job.id, job.attempt));
            if !settlement.state.is_final() {
                self.look_at(settlement.scheduled_at);
            }
            let wakes = self.shared.queue.wakes();
            settlement.follow_ons.iter().for_each(|row| wakes.wake(&row.queue));
            spans::settled(&settling, is_ours);
            self.shared.executor.settled(&job, &settlement, is_ours);
        }
    }

    fn look_at(&mut self, moment: jiff::Timestamp) {
        let wait = between(self.shared.queue.now(), moment);
        if wait.is_zero() {
            self.look = true;
        } else if let Some(moment) = Instant::now().checked_add(wait) {
            self.next_look = self.next_look.min(moment);
        }
    }

    /// Jobs that are ours in the database and that nobody here knows of: the answer to their claim was
    /// lost. They have never started.
    fn adopt(&mut self, held: Vec<Job>) {
        let now = Instant::now();
        let longest = self.shared.terms.lease().max(POLL);
        self.reconciling = Reconciling::after((self.reconciling.wait * 2).clamp(POLL, longest));
        self.look = true;
        for job in held {
            if self.ours.insert((job.id, job.attempt)) {
                tracing::warn!(job.id = %job.id, "found claimed: the answer to its claim was lost");
                meter::claimed(std::slice::from_ref(&job));
                self.waiting.push_back((now, job));
            }
        }
    }

    fn claimed(&mut self, claimed: Claimed, asked: u32) {
        self.slots = claimed.settings.concurrency.unwrap_or(self.limits.concurrency);
        if let Some(until) = claimed.blocked_until {
            self.shared.gate().stopped_elsewhere(until);
            self.look = true;
        }
        // As many as there could be: there may be more. As keyed jobs are not claimed ahead, more was asked for than could
        // be got as long as it was not known that there are any.
        let was_full = !claimed.jobs.is_empty() && claimed.jobs.len() >= asked as usize;
        self.look |= was_full || (claimed.has_keyed && !self.has_keyed);
        self.has_keyed = claimed.has_keyed;
        if let Some(moment) = claimed.next_due.filter(|moment| *moment > self.shared.queue.now()) {
            self.look_at(moment);
        }
        let now = Instant::now();
        for job in claimed.jobs {
            self.ours.insert((job.id, job.attempt));
            self.waiting.push_back((now, job));
        }
    }
}

type RunResult = Result<(task::Id, (Finished, Duration)), JoinError>;

#[cfg(all(test, feature = "sqlite", feature = "cli"))]
mod tests;
