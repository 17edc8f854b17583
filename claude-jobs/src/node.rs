//! A node: one running runtime, and how others can tell that it is dead.
//!
//! A node's lease is the general proof: once it has run out, the node has stopped its runs. On the
//! same machine there is a quicker one: the process is gone. A process is told from every other by
//! boot, process-id namespace, process id and start time, so that neither a reused id nor a container
//! with the same host name is taken for it.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::clock::later;
use crate::engine::NodeRow;

/// How long a node's runs are its own after its last sign of life.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// How often a node renews its lease.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(15);

/// How long before the end of its lease a node that cannot renew it stops its own runs: the grace of
/// a stopped run, and then some.
pub(crate) const MARGIN: Duration = Duration::from_secs(15);

/// How far the clocks of other nodes may be ahead of ours: so long before the end of its lease a node's
/// runs are gone, even if the node itself cannot act. See [`Lease`](crate::claude::Lease).
pub(crate) const SKEW: Duration = Duration::from_secs(5);

/// A new node for this process.
pub(crate) fn this_node(now: Timestamp) -> NodeRow {
    NodeRow {
        id: Uuid::now_v7().to_string(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        process: process_name(std::process::id()).unwrap_or_default(),
        started_at: now,
        lease_until: later(now, LEASE),
    }
}

/// Whether the node's process is provably gone from this machine.
pub(crate) fn is_gone(node: &NodeRow) -> bool {
    let Some((place, process)) = split(&node.process) else { return false };
    let Some(here) = process_name(std::process::id()) else { return false };
    let is_here = split(&here).is_some_and(|(our_place, _)| our_place == place);
    if !is_here {
        return false;
    }
    let Some(pid) = process.split('/').next().and_then(|pid| pid.parse().ok()) else { return false };
    process_name(pid).as_deref() != Some(node.process.as_str())
}

/// `boot/namespace` and `pid/start`.
fn split(name: &str) -> Option<(&str, &str)> {
    let (end, _) = name.match_indices('/').nth(1)?;
    Some((&name[..end], &name[end + 1..]))
}

/// `boot/namespace/pid/start` of a living process; `None` where there is no `/proc` to ask.
fn process_name(pid: u32) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let namespace = namespace.to_str()?.trim_start_matches("pid:[").trim_end_matches(']').to_owned();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; fields are counted after it. The first is the state,
    // the twentieth the start time in ticks since boot.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    let is_alive = !matches!(state, "Z" | "X");
    is_alive.then(|| format!("{}/{namespace}/{pid}/{start}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_a_dead_one_is() {
        let ours = this_node(Timestamp::UNIX_EPOCH);
        assert!(!ours.process.is_empty() && !is_gone(&ours));

        let mut child = std::process::Command::new("sleep").arg("600").spawn().expect("sleep exists");
        let process = process_name(child.id()).expect("it lives");
        let other = NodeRow { process, ..ours.clone() };
        assert!(!is_gone(&other));
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        assert!(is_gone(&other));
    }

    #[test]
    fn another_machine_proves_nothing() {
        let mut node = this_node(Timestamp::UNIX_EPOCH);
        node.process = "other-boot/1/999999/1".to_owned();
        assert!(!is_gone(&node));
        node.process = String::new();
        assert!(!is_gone(&node));
    }
}
