//! A turn: what has ended is settled, what there is room for is claimed, mostly in one round trip.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::{Instrument, Span};

use crate::engine::{self, ClaimRequest, Claimed, Limits, Settled};
use crate::error::Result;
use crate::executor::Finished;
use crate::job::Job;
use crate::runtime::gate::AccountChange;
use crate::runtime::shared::Shared;
use crate::settlement::Settlement;
use crate::telemetry::{careful, content, meter, spans};

pub(super) type TurnResult = Result<Taken>;

/// What a turn came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) turn: engine::Turn,
    /// What was written in place of settlements that the database refuses, with their places in the batch.
    pub(super) replaced: Vec<(usize, Settlement)>,
    /// The places of those that the database refuses in every form. The turn says nothing of them.
    pub(super) refused: Vec<usize>,
    /// Whether it has settled one by one and asked for nothing: what it has claimed says nothing of the queue.
    pub(super) settles_only: bool,
}

/// Runs that are over and not yet written.
#[derive(Clone, Default)]
pub(super) struct Batch {
    settlements: Vec<Settlement>,
    /// What is to be written about the account before.
    account: Vec<AccountChange>,
    /// The job of each, and its settling's span.
    jobs: Vec<(Arc<Job>, Span)>,
}

impl Batch {
    pub(super) fn push(&mut self, Finished { job, settlement, settling, account }: Finished) {
        self.account.extend(account);
        self.settlements.push(settlement);
        self.jobs.push((job, settling));
    }

    /// Those of a turn that has failed, before those that have come since.
    pub(super) fn put_back(&mut self, failed: Self) {
        self.settlements.splice(0..0, failed.settlements);
        self.account.splice(0..0, failed.account);
        self.jobs.splice(0..0, failed.jobs);
    }

    /// Puts back what was not written because somebody has asked for the job's cancellation: as its end.
    pub(super) fn cancel(&mut self, job: Arc<Job>, settlement: &Settlement, span: Span, now: Timestamp) {
        let settlement = settlement.cancelled(now);
        spans::decided_anew(&span, &settlement);
        self.settlements.push(settlement);
        self.jobs.push((job, span));
    }

    /// Takes note of what was written instead.
    pub(super) fn replace(&mut self, written: Vec<(usize, Settlement)>) {
        for (place, settlement) in written {
            spans::decided_anew(&self.jobs[place].1, &settlement);
            self.settlements[place] = settlement;
        }
    }

    /// Takes those at these places, which are in order, out of the batch.
    pub(super) fn take_out(&mut self, places: &[usize]) -> Self {
        let mut taken = Self::default();
        for place in places.iter().rev() {
            taken.settlements.insert(0, self.settlements.remove(*place));
            taken.jobs.insert(0, self.jobs.remove(*place));
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = (Arc<Job>, Settlement, Span)> {
        let jobs = self.jobs.into_iter().zip(self.settlements);
        jobs.map(|((job, span), settlement)| (job, settlement, span))
    }
}

/// What a turn does besides settling.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Nothing.
    Settle,
    /// Claims.
    Claim {
        /// How many jobs are running, waiting to run, or asked for.
        running: u32,
        /// How many are wanted beyond the free slots.
        ahead: u32,
        /// The most to claim, whatever else there is room for.
        at_most: u32,
    },
    /// Asks which jobs are ours. Nothing is claimed meanwhile, so what we do not know then is news.
    Reconcile,
}

impl Kind {
    /// How many jobs it may bring.
    pub(super) fn asked(self, slots: u32) -> u32 {
        match self {
            Self::Claim { running, ahead, at_most } => (slots.saturating_sub(running) + ahead).min(at_most),
            Self::Settle | Self::Reconcile => 0,
        }
    }
}

pub(super) struct Turn {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: String,
    pub(super) limits: Limits,
    pub(super) batch: Arc<Batch>,
    pub(super) kind: Kind,
}

impl Turn {
    pub(super) async fn take(self) -> TurnResult {
        let kind = self.kind;
        let span = spans::claim(&self.queue, || self.shared.node_id());
        let taken = self.settle_and_claim().instrument(span.clone()).await;
        spans::claimed(&span, taken.as_ref().map(|taken| &taken.turn).ok());
        if let (Kind::Claim { .. }, Ok(taken)) = (kind, &taken) {
            meter::claimed(&taken.turn.claimed.jobs);
        }
        taken
    }

    async fn settle_and_claim(&self) -> TurnResult {
        match self.take_all().await {
            // One that can never be written must not keep the others from it.
            Err(error) if engine::is_forbidden(&error) && !self.batch.is_empty() => self.settle_each().await,
            result => result.map(|turn| Taken { turn, ..Taken::default() }),
        }
    }

    /// One by one; a job whose settlement the database forbids (its follow-on jobs, or something in its
    /// result that a rule of the user's does not like) is cancelled without what may be the cause: its run
    /// is paid for and stays in the ledger. What cannot be written at all is set aside.
    async fn settle_each(&self) -> TurnResult {
        let (mut settled, mut replaced, mut refused, mut failed) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (place, settlement) in self.batch.settlements.iter().enumerate() {
            match self.settle_somehow(settlement).await {
                Ok((became, less)) => {
                    settled.push(became);
                    replaced.extend(less.map(|less| (place, less)));
                }
                Err(error) if engine::is_forbidden(&error) => {
                    tracing::error!(
                        job.id = %settlement.id,
                        error = %careful(&error),
                        "the database refuses to let this job end, will try again: see which trigger or constraint forbids it"
                    );
                    meter::database_error("turn");
                    refused.push(place);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let turn = engine::Turn { settled, ..engine::Turn::default() };
        Ok(Taken { turn, replaced, refused, settles_only: true })
    }

    /// With less and less of it, until the database takes it. Says what was written instead, if anything was.
    async fn settle_somehow(&self, settlement: &Settlement) -> Result<(Settled, Option<Settlement>)> {
        let (engine, now) = (self.shared.queue.engine(), self.shared.queue.now());
        let settle = async |new: &Settlement| {
            let settled = engine.settle(std::slice::from_ref(new), now).await?;
            Ok(settled.first().copied().unwrap_or(Settled::Superseded))
        };
        let error = match settle(settlement).await {
            Err(error) if engine::is_forbidden(&error) => error,
            settled => return settled.map(|settled| (settled, None)),
        };
        // It may quote what was to be written.
        let problem = self.shared.executor.secrets.hide(&error.to_string());
        let bare = settlement.bare(&problem, now);
        let (settled, less) = match settle(&bare).await {
            Err(error) if engine::is_forbidden(&error) => {
                let barest = settlement.barest(now);
                (settle(&barest).await?, barest)
            }
            settled => (settled?, bare),
        };
        let (id, shown) = (settlement.id, content(&problem));
        tracing::error!(job.id = %id, error = shown, "cancelled: the database refuses its settlement");
        Ok((settled, Some(less)))
    }

    /// Before the runs that met it are settled, so that no other node claims for the account when they are.
    async fn write(&self, change: &AccountChange) -> Result<()> {
        let engine = self.shared.queue.engine();
        match change {
            AccountChange::Stop(row) => engine.block_account(row).await,
            AccountChange::Failed(row) => {
                engine.end_trial(&row.name, &self.shared.node_id(), Some(row)).await.map(drop)
            }
        }
    }

    async fn take_all(&self) -> Result<engine::Turn> {
        let (queue, engine) = (&self.shared.queue, self.shared.queue.engine());
        let (now, node) = (queue.now(), self.shared.node_id());
        let settlements = &self.batch.settlements;
        for change in &self.batch.account {
            self.write(change).await?;
        }
        match self.kind {
            Kind::Settle => engine.turn(settlements, None, now).await,
            Kind::Claim { running, ahead, at_most } => {
                let (limits, workers) = (self.limits, self.shared.executor.workers());
                let (queue, node, workers) = (&*self.queue, &*node, &*workers);
                let account = &*self.shared.gate().account;
                let host = &*self.shared.session_host();
                let request = ClaimRequest {
                    queue,
                    node,
                    workers,
                    limits,
                    running,
                    ahead,
                    host,
                    at_most,
                    account,
                    now,
                };
                engine.turn(settlements, Some(&request), now).await
            }
            Kind::Reconcile => {
                let settled = engine.settle(settlements, now).await?;
                let jobs = engine.held(&node, &self.queue).await?;
                let claimed = Claimed { jobs, ..Claimed::default() };
                Ok(engine::Turn { settled, claimed })
            }
        }
    }
}
