//! Looks after the [gate](crate::runtime::gate): probes what shut it, tries it with one job, opens it again, and tells
//! why nothing starts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::claude::Problem;
use crate::clock::{between, later};
use crate::engine::{AccountRow, NodeRow};
use crate::error::Result;
use crate::notice::Notice;
use crate::outcome::{FailureKind, Fault};
use crate::runtime::capacity::{Measured, free_memory, most_runs};
use crate::runtime::gate::{Account, AccountChange, Gate, Shut};
use crate::runtime::shared::Shared;
use crate::telemetry::{careful, meter};

/// How often it looks while something stands in the way.
const LOOK: Duration = Duration::from_secs(1);

/// How often the machine is measured, where that matters.
const MEASURE: Duration = Duration::from_secs(1);

/// The longest that a probe may take.
const PROBE: Duration = Duration::from_secs(30);

/// For how long a trial of the account is this node's unless it is extended; a dead node's ends by itself.
const TRIAL: Duration = Duration::from_secs(30);

/// After so long without a job to try, another node may.
const WANTED: Duration = Duration::from_secs(3);

/// What the service has told, so that it tells changes only.
#[derive(Default)]
struct Told {
    shut: Option<Shut>,
    /// The fault in the node's row.
    fault: Option<String>,
}

/// Before the first claim: what is wrong with the machine or the account stops claims at once. An executable that is
/// missing does not: jobs may name another. `slots`: how many jobs the queues may run at once.
pub(crate) async fn first(shared: &Shared, slots: u32) -> Result<()> {
    if let Some(runs) = measure(shared).await.filter(|runs| *runs < slots) {
        tracing::warn!(
            runs,
            slots,
            "fewer jobs run at once than the queues allow: too few files may be open"
        );
    }
    let Err(problem) = probe(shared).await else { return Ok(()) };
    match problem.kind {
        kind if is_dispensable(kind) => {
            tracing::warn!(reason = %problem, "claude cannot run: jobs that name no `binary` of their own wait until it can");
            if problem.kind == FailureKind::UnsupportedVersion {
                shared.gate().note_version(problem);
            }
        }
        kind if kind.fault() == Some(Fault::Account) => met_account(shared, &problem).await?,
        _ => shared.gate().trip(&problem),
    }
    Ok(())
}

/// Whether there may be jobs that need it not: they name their own executable, or work in no repository.
fn is_dispensable(kind: FailureKind) -> bool {
    use FailureKind as Kind;
    matches!(
        kind,
        Kind::BinaryMissing | Kind::BinaryNotRunnable | Kind::GitUnusable | Kind::UnsupportedVersion
    )
}

pub(crate) async fn serve(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut told = Told::default();
    let mut wakes = shared.queue.wakes().of_all();
    let is_measured = shared.executor.claude.footprint() != crate::claude::Footprint::default();
    let mut measured = Instant::now();
    loop {
        let wait = match step(&shared, &mut told).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(error = %careful(&error), "cannot look after the gate, will try again");
                meter::database_error("gate");
                Some(LOOK)
            }
        };
        // While it is open there is nothing to do but to measure.
        let wait = if is_measured { Some(wait.unwrap_or(MEASURE).min(MEASURE)) } else { wait };
        let is_stopped = matches!(shared.gate().account_state(), Account::Stopped(_));
        tokio::select! {
            () = shutdown.cancelled() => {
                // What a short runtime has met is told, too.
                let _ = tell(&shared, &mut told).await;
                // Where the database is away the trial ends by itself.
                let _ = leave_account(&shared).await;
                if let Some(shut) = &told.shut {
                    meter::claims_stopped(shut.by, false);
                }
                return;
            }
            () = shared.gate().changed() => {}
            _ = wakes.changed(), if is_stopped => {}
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
        if is_measured && measured.elapsed() >= MEASURE {
            measured = Instant::now();
            measure(&shared).await;
        }
    }
}

/// Does what is due, and says after how long it is to look again; none while nothing stands in the way.
async fn step(shared: &Shared, told: &mut Told) -> Result<Option<Duration>> {
    tell(shared, told).await?;
    let node = look_after_node(shared).await?;
    let account = look_after_account(shared).await?;
    tell(shared, told).await?;
    Ok(node.into_iter().chain(account).min())
}

async fn look_after_node(shared: &Shared) -> Result<Option<Duration>> {
    let gate = shared.gate();
    let open = match gate.node() {
        Breaker::Open(open) => open,
        Breaker::Closed | Breaker::Trial(_) => return Ok(None),
    };
    let rest = open.next_probe.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        return Ok(Some(rest));
    }
    match probe(shared).await {
        Ok(()) => gate.probed(Ok(())),
        // Jobs may do without it: those that need it will meet it.
        Err(problem) if is_dispensable(problem.kind) && open.kind != problem.kind => gate.probed(Ok(())),
        Err(problem) if problem.kind.fault() == Some(Fault::Account) => {
            gate.probed(Ok(()));
            met_account(shared, &problem).await?;
        }
        Err(problem) => gate.probed(Err(&problem)),
    }
    shared.queue.wakes().wake_all();
    Ok(Some(Duration::ZERO))
}

async fn look_after_account(shared: &Shared) -> Result<Option<Duration>> {
    let (gate, engine) = (shared.gate(), shared.queue.engine());
    let state = gate.account_state();
    match &state {
        Account::Free => Ok(None),
        Account::Allowed => {
            engine.end_trial(&gate.account, &shared.node_id(), None).await?;
            gate.replace_account(&state, Account::Free);
            shared.queue.wakes().wake_all();
            Ok(None)
        }
        Account::Stopped(_) => match row(shared).await? {
            // The block of a run that has just ended is written with its settlement.
            None if is_to_be_written(&state, shared) => Ok(Some(LOOK)),
            None => {
                gate.replace_account(&state, Account::Free);
                shared.queue.wakes().wake_all();
                Ok(None)
            }
            Some(row) => {
                let rest = between(shared.queue.now(), row.until);
                gate.replace_account(&state, Account::Stopped(row.clone()));
                match (rest.is_zero(), gate.node()) {
                    (true, Breaker::Closed) => begin_trial(shared, row).await.map(Some),
                    (true, _) => Ok(Some(LOOK)),
                    (false, _) => Ok(Some(shared.queue.sleep(rest).clamp(Duration::from_millis(5), LOOK))),
                }
            }
        },
        Account::Trial(row) => keep_trial(shared, &state, row).await.map(Some),
    }
}

/// Whether the block is so new that it may not be in the database yet.
fn is_to_be_written(state: &Account, shared: &Shared) -> bool {
    let Account::Stopped(row) = state else { return false };
    !row.kind.is_empty() && between(row.since, shared.queue.now()) < Duration::from_secs(5)
}

async fn row(shared: &Shared) -> Result<Option<AccountRow>> {
    let rows = shared.queue.engine().accounts().await?;
    Ok(rows.into_iter().find(|row| row.name == shared.gate().account))
}

/// One node of the account tries it: first for free, then with one job.
async fn begin_trial(shared: &Shared, row: AccountRow) -> Result<Duration> {
    let (gate, queue, node) = (shared.gate(), &shared.queue, shared.node_id());
    let names: Vec<&str> = gate.queues.iter().map(String::as_str).collect();
    if !shared.is_busy(&names).await? {
        return Ok(LOOK);
    }
    let until = later(queue.now(), TRIAL);
    if !queue.engine().begin_trial(&row.name, row.until, &node, until).await? {
        return Ok(Duration::from_millis(50));
    }
    gate.set_account(Account::Trial(AccountRow { until, trial_node: Some(node), ..row }));
    match probe(shared).await {
        Err(problem) if problem.kind.fault() == Some(Fault::Account) => met_account(shared, &problem).await?,
        Err(problem) if problem.kind == FailureKind::Environment => gate.trip(&problem),
        _ => {}
    }
    queue.wakes().wake_all();
    Ok(Duration::from_millis(100))
}

/// While its job runs the trial is extended; where none comes another node may try.
async fn keep_trial(shared: &Shared, state: &Account, row: &AccountRow) -> Result<Duration> {
    let (gate, queue) = (shared.gate(), &shared.queue);
    let (now, node) = (queue.now(), shared.node_id());
    if gate.trial_is_wanted_for().is_some_and(|wanted| wanted >= WANTED) {
        let released = release(shared, row).await?;
        gate.replace_account(state, Account::Stopped(released));
        return Ok(LOOK);
    }
    if between(now, row.until) < TRIAL / 2 {
        let until = later(now, TRIAL);
        let is_ours = queue.engine().begin_trial(&row.name, row.until, &node, until).await?;
        let extended = AccountRow { until, ..row.clone() };
        gate.replace_account(
            state,
            if is_ours { Account::Trial(extended) } else { Account::Stopped(extended) },
        );
    }
    Ok(LOOK)
}

/// Leaves a trial to another node.
async fn release(shared: &Shared, row: &AccountRow) -> Result<AccountRow> {
    let until = later(shared.queue.now(), LOOK);
    let released = AccountRow { until, trial_node: None, ..row.clone() };
    shared.queue.engine().end_trial(&row.name, &shared.node_id(), Some(&released)).await?;
    Ok(released)
}

/// This runtime ends: others need not wait for its trial.
async fn leave_account(shared: &Shared) -> Result<()> {
    let gate = shared.gate();
    match gate.account_state() {
        Account::Allowed => {
            shared.queue.engine().end_trial(&gate.account, &shared.node_id(), None).await.map(drop)
        }
        Account::Trial(row) => release(shared, &row).await.map(drop),
        Account::Free | Account::Stopped(_) => Ok(()),
    }
}

/// A free probe has found a fault of the account.
async fn met_account(shared: &Shared, problem: &Problem) -> Result<()> {
    let engine = shared.queue.engine();
    match shared.gate().probe_met(problem, shared.queue.now()) {
        AccountChange::Stop(row) => engine.block_account(&row).await,
        AccountChange::Failed(row) => {
            engine.end_trial(&row.name, &shared.node_id(), Some(&row)).await.map(drop)
        }
    }
}

async fn probe(shared: &Shared) -> Result<(), Problem> {
    // One that does not answer proves nothing.
    timeout(PROBE, shared.executor.claude.probe()).await.unwrap_or(Ok(()))
}

/// Measures the machine. For how many runs there are descriptors.
async fn measure(shared: &Shared) -> Option<u32> {
    let takes = shared.executor.claude.footprint();
    if takes == crate::claude::Footprint::default() {
        return None;
    }
    let engine = Arc::clone(shared.queue.engine());
    let running = shared.running();
    let measured = tokio::task::spawn_blocking(move || Measured {
        memory: (takes.memory_bytes > 0).then(free_memory).flatten(),
        disk: engine.free_disk(),
        runs: most_runs(takes).map(|more| more.saturating_add(running)),
    });
    let measured = measured.await.ok()?;
    if shared.gate().measured(takes, measured) {
        shared.queue.wakes().wake_all();
    }
    measured.runs
}

/// Why this very node claims nothing, for its row; what an account lacks is in a row of its own.
pub(crate) fn fault(gate: &Gate) -> Option<String> {
    gate.shut().filter(|shut| shut.by != "account").map(|shut| shut.reason)
}

/// Tells what has changed: to the listener, the log, the metrics, and in the node's row.
async fn tell(shared: &Shared, told: &mut Told) -> Result<()> {
    let shut = shared.gate().shut();
    let reason = |shut: &Option<Shut>| shut.as_ref().map(|shut| shut.reason.clone());
    if reason(&shut) != reason(&told.shut) {
        if let Some(before) = &told.shut {
            meter::claims_stopped(before.by, false);
        }
        match &shut {
            Some(Shut { by, reason, until }) => {
                tracing::warn!(reason, "nothing is claimed any more");
                meter::claims_stopped(by, true);
                shared.executor.notify.send(&Notice::ClaimsStopped { reason, until: *until });
            }
            None => {
                tracing::info!("claiming again");
                shared.executor.notify.send(&Notice::ClaimsResumed);
                shared.queue.wakes().wake_all();
            }
        }
        told.shut.clone_from(&shut);
    }
    let fault = fault(shared.gate());
    if fault != told.fault {
        let node = shared.node.borrow().row.clone();
        shared.queue.engine().renew(&NodeRow { fault: fault.clone(), ..node }, true).await?;
        told.fault = fault;
    }
    Ok(())
}
