//! What the nodes tell each other through the database: that they live, and which accounts are stopped.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// A running runtime, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeRow {
    /// Its id, new at each start.
    pub id: String,
    /// The machine.
    pub host: String,
    /// Tells the process from every other on its machine.
    pub process: String,
    /// Where it keeps its sessions: [`Claude::session_host`](crate::claude::Claude::session_host).
    pub session_host: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Until when its runs are its own, by its own clock. Others only look at whether it changes.
    pub lease_until: Timestamp,
    /// For how long others have to see no change before it is dead.
    pub lease: Duration,
    /// The account that pays for its runs.
    pub account: String,
    /// The queues that it serves.
    pub queues: Vec<String>,
    /// Why it claims nothing, if something of its own keeps it from that.
    pub fault: Option<String>,
}

/// An account for which claims are stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountRow {
    /// The account, as [`Claude::account`](crate::claude::Claude::account) names it.
    pub name: String,
    /// What was met: the kind of a failure.
    pub kind: String,
    /// What claude said.
    pub reason: String,
    /// Since when claims are stopped.
    pub since: Timestamp,
    /// When a node may try it again; while one does, when others may.
    pub until: Timestamp,
    /// How often in a row it was met.
    pub times: u32,
    /// The queues that were served by the nodes that have met it.
    pub queues: Vec<String>,
    /// The node that tries it now: only this one may claim.
    pub trial_node: Option<String>,
}
