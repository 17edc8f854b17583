//! [`Met`]: what a run has met that is not its job's fault.

use jiff::Timestamp;

use crate::engine::AccountRow;
use crate::outcome::{Ending, Failure, FailureKind, Fault, Run, StopReason};

/// What a run has met that is not its job's fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Met {
    /// Nothing.
    #[default]
    Nothing,
    /// A fault of the node, which kept claude from starting or cut it off. Why.
    Node(String),
    /// A fault of the account that was known: the job tried whether it is over, and nothing was paid for. Why.
    Known(String, AccountChange),
    /// A fault of the account.
    Account(AccountChange),
    /// A usage limit: the job waits until then.
    Limit(Timestamp, AccountChange),
}

/// What is to be written about an account before the run that met it is settled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AccountChange {
    /// Claims are stopped.
    Stop(AccountRow),
    /// This node's trial has failed.
    Failed(AccountRow),
}

impl Met {
    pub(crate) fn change(&self) -> Option<&AccountChange> {
        match self {
            Self::Nothing | Self::Node(_) => None,
            Self::Known(_, change) | Self::Account(change) | Self::Limit(_, change) => Some(change),
        }
    }
}

/// An executable that the job names is its own affair.
pub(super) fn blamed(failure: &Failure, names_binary: bool) -> Option<Fault> {
    use FailureKind as Kind;
    match (failure.kind, failure.kind.fault()) {
        (Kind::UsageLimit, _) | (_, Some(Fault::Account)) => Some(Fault::Account),
        (Kind::BinaryMissing | Kind::BinaryNotRunnable | Kind::UnsupportedVersion, _) if names_binary => None,
        (_, Some(Fault::Node)) => Some(Fault::Node),
        (_, None) => None,
    }
}

/// Whether a run shows that claude can start and work: not one that never started, or that somebody has stopped.
pub(super) fn is_conclusive(run: &Run) -> bool {
    let is_stopped = matches!(
        &run.ending,
        Ending::Stopped(StopReason::Cancel | StopReason::Shutdown | StopReason::LeaseLost)
    );
    !is_stopped && !matches!(&run.ending, Ending::NotStarted(_))
}

pub(super) fn reason(failure: &Failure) -> String {
    format!("{}: {}", failure.kind.name(), failure.message)
}
