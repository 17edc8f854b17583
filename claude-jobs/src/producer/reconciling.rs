//! [`Reconciling`]: when to ask the database which jobs are ours.

use std::time::Duration;

use tokio::time::Instant;

/// When to look up what the database has claimed for us without our knowing: at once when the answer to a claim was
/// lost, then less and less often, because that claim may be carried out later still, and always once per lease.
#[derive(Clone, Copy)]
pub(super) struct Reconciling {
    pub(super) next: Instant,
    /// None at all while we have not looked since an answer was lost.
    pub(super) wait: Duration,
}

impl Reconciling {
    pub(super) fn after(wait: Duration) -> Self {
        Self { next: Instant::now() + wait, wait }
    }

    pub(super) fn is_in_doubt(self) -> bool {
        self.wait.is_zero()
    }
}
