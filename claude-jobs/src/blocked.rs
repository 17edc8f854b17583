//! [`Blocked`]: why jobs that could start do not, as the database knows it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::{AccountRow, NodeRow};

/// What keeps jobs from starting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Blocked {
    /// The node or the account that keeps the jobs from starting.
    pub by: BlockedBy,
    /// The account, or the node's host.
    pub name: String,
    /// The queues that it concerns.
    pub queues: Vec<String>,
    /// Why, in a line: the kind of a failure and what was said of it.
    pub reason: String,
    /// When it is tried again, where the database knows.
    pub until: Option<Timestamp>,
}

/// What keeps jobs from starting: the node or its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockedBy {
    /// An account's: nothing is claimed for it on any node.
    Account,
    /// A node's: other nodes go on.
    Node,
}

impl Blocked {
    /// All that there is, accounts first.
    pub(crate) fn of(accounts: Vec<AccountRow>, nodes: Vec<NodeRow>) -> Vec<Self> {
        let accounts = accounts.into_iter().map(|row| Self {
            by: BlockedBy::Account,
            reason: format!("{}: {}", row.kind, row.reason),
            name: row.name,
            queues: row.queues,
            until: Some(row.until),
        });
        let nodes = nodes.into_iter().filter_map(|node| {
            let (by, reason) = (BlockedBy::Node, node.fault?);
            Some(Self { by, name: node.host, queues: node.queues, reason, until: None })
        });
        accounts.chain(nodes).collect()
    }

    /// Whether it concerns this queue.
    pub fn concerns(&self, queue: &str) -> bool {
        self.queues.iter().any(|name| name == queue)
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, name, reason, .. } = self;
        match by {
            BlockedBy::Account => write!(formatter, "no job starts for account {name}: {reason}"),
            BlockedBy::Node => write!(formatter, "no job starts on {name}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Terms, this_node};

    #[test]
    fn accounts_and_nodes_with_a_fault_are_told_for_their_queues() {
        let now = Timestamp::UNIX_EPOCH;
        let healthy =
            NodeRow { queues: vec!["a".into()], ..this_node(Terms::DEFAULT, "host".to_owned(), now) };
        let broken =
            NodeRow { host: "host".into(), fault: Some("environment: full".into()), ..healthy.clone() };
        let account = AccountRow {
            name: "acc".into(),
            kind: "billing".into(),
            reason: "no money".into(),
            since: now,
            until: now,
            times: 1,
            queues: vec!["b".into()],
            trial_node: None,
        };
        let blocked = Blocked::of(vec![account], vec![healthy, broken]);
        let lines: Vec<_> = blocked.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["no job starts for account acc: billing: no money", "no job starts on host: environment: full"]
        );
        assert!(blocked[0].concerns("b") && !blocked[0].concerns("a") && blocked[1].concerns("a"));
    }
}
