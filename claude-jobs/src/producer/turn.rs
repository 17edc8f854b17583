//! A turn: what has ended is settled, what there is room for is claimed, mostly in one round trip.

use std::sync::Arc;

use tracing::{Instrument, Span};

use crate::engine::{self, ClaimRequest, Claimed, Limits};
use crate::error::Result;
use crate::executor::Finished;
use crate::job::Job;
use crate::runtime::shared::Shared;
use crate::settlement::Settlement;
use crate::telemetry::{content, meter, spans};

pub(super) type TurnResult = Result<engine::Turn>;

/// Runs that are over and not yet written.
#[derive(Clone, Default)]
pub(super) struct Batch {
    settlements: Vec<Settlement>,
    /// The job of each, and its settling's span.
    jobs: Vec<(Arc<Job>, Span)>,
}

impl Batch {
    pub(super) fn push(&mut self, Finished { job, settlement, settling }: Finished) {
        self.settlements.push(settlement);
        self.jobs.push((job, settling));
    }

    /// Those of a turn that has failed, before those that have come since.
    pub(super) fn put_back(&mut self, failed: Self) {
        self.settlements.splice(0..0, failed.settlements);
        self.jobs.splice(0..0, failed.jobs);
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
    },
    /// Asks which jobs are ours. Nothing is claimed meanwhile, so what we do not know then is news.
    Reconcile,
}

impl Kind {
    /// How many jobs it may bring.
    pub(super) fn asked(self, slots: u32) -> u32 {
        match self {
            Self::Claim { running, ahead } => slots.saturating_sub(running) + ahead,
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
        let turn = self.settle_and_claim().instrument(span.clone()).await;
        spans::claimed(&span, &turn);
        if let (Kind::Claim { .. }, Ok(turn)) = (kind, &turn) {
            meter::claimed(&turn.claimed.jobs);
        }
        turn
    }

    async fn settle_and_claim(&self) -> TurnResult {
        match self.take_all().await {
            // One that can never be written must not keep the others from it.
            Err(error) if engine::is_forbidden(&error) && !self.batch.is_empty() => self.settle_each().await,
            result => result,
        }
    }

    /// One by one; a job whose settlement the database forbids (its follow-on jobs, or something in its
    /// result that a rule of the user's does not like) is cancelled without what may be the cause: its run
    /// is paid for and stays in the ledger. What cannot be written at all is tried again after the others.
    async fn settle_each(&self) -> TurnResult {
        let (engine, now) = (self.shared.queue.engine(), self.shared.queue.now());
        let mut settled = Vec::new();
        let mut refused = None;
        for settlement in &self.batch.settlements {
            let written = match engine.settle(std::slice::from_ref(settlement), now).await {
                Err(error) if engine::is_forbidden(&error) => {
                    let (id, problem) = (settlement.id, content(&error));
                    tracing::error!(job.id = %id, error = problem, "cancelled: the database refuses its settlement");
                    engine.settle(&[settlement.bare(&error, now)], now).await
                }
                written => written,
            };
            match written {
                Ok(written) => settled.extend(written),
                Err(error) => refused = Some(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        // What the turn was to claim is still to be claimed.
        self.shared.queue.wakes().wake(&self.queue);
        Ok(engine::Turn { settled, ..engine::Turn::default() })
    }

    async fn take_all(&self) -> TurnResult {
        let (queue, engine) = (&self.shared.queue, self.shared.queue.engine());
        let (now, node) = (queue.now(), self.shared.node_id());
        let settlements = &self.batch.settlements;
        match self.kind {
            Kind::Settle => engine.turn(settlements, None, now).await,
            Kind::Claim { running, ahead } => {
                let (limits, workers) = (self.limits, queue.registry().names());
                let (queue, node, workers) = (&*self.queue, &*node, &*workers);
                let request = ClaimRequest { queue, node, workers, limits, running, ahead, now };
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
