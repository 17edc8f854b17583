//! A node: one running runtime, and how others can tell that it is dead.
//!
//! The general proof is silence: a node that has not renewed its lease for as long as a lease lasts has
//! stopped its runs before. Both sides measure that as a duration on their own monotonic clock, because
//! wall clocks disagree and jump, and a laptop that wakes up would take every node for dead.
//!
//! On the same machine there is a quicker proof: the process is gone. A process is told from every other
//! by boot, process-id namespace, process id and start time, so that neither a reused id nor a container
//! with the same host name is taken for it.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claude::host_name;
use crate::clock::later;
use crate::engine::NodeRow;

/// How long a node's runs are its own after its last sign of life, and what follows from that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    lease: Duration,
}

/// How long a run that is killed may take to be gone, as its supervisor has it.
pub(crate) const KILLING: Duration = Duration::from_secs(2);

impl Terms {
    /// One minute.
    pub(crate) const DEFAULT: Self = Self { lease: Duration::from_secs(60) };

    /// The shortest lease. Ending a run in order takes up to 5 s, and must be possible between a
    /// renewal that fails and the end of the lease.
    pub(crate) const SHORTEST: Duration = Duration::from_secs(12);

    /// The longest lease: 30 days.
    pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// Terms of a lease of this length; `None` when it is too short or too long.
    pub(crate) fn of(lease: Duration) -> Option<Self> {
        (lease >= Self::SHORTEST && lease <= Self::LONGEST).then_some(Self { lease })
    }

    /// The lease.
    pub(crate) fn lease(self) -> Duration {
        self.lease
    }

    /// How often a node renews its lease.
    pub(crate) fn renew_every(self) -> Duration {
        self.lease / 4
    }

    /// How long after its last renewal a node that cannot renew stops its own runs.
    pub(crate) fn patience(self) -> Duration {
        self.lease / 4 * 3
    }

    /// The shortest lease for runs that may take so long to end. A supervisor asks its run to end that long before the
    /// end of its life, and must have heard of the next renewal by then: after a third of the lease at the latest.
    pub(crate) fn shortest_for(grace: Duration) -> Duration {
        Self::SHORTEST.max(grace.saturating_add(KILLING).saturating_mul(12) / 7)
    }

    /// How long after its last renewal the last process of a node's runs is gone, even if the node
    /// itself cannot act: the lease, less what the clocks of other nodes may be ahead of ours.
    pub(crate) fn life_of_runs(self) -> Duration {
        self.lease - self.lease / 12
    }
}

/// A new node for this process.
pub(crate) fn this_node(terms: Terms, session_host: String, now: Timestamp) -> NodeRow {
    NodeRow {
        id: Uuid::now_v7().to_string(),
        host: host_name(),
        session_host,
        process: process_name(std::process::id()).unwrap_or_default(),
        started_at: now,
        lease_until: later(now, terms.lease()),
        lease: terms.lease(),
        account: String::new(),
        queues: Vec::new(),
        fault: None,
    }
}

/// When other nodes were last seen to renew their leases.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    leases: HashMap<String, (Timestamp, Instant)>,
    /// When a node that serves a queue and has these sessions was last seen.
    hosts: HashMap<(String, String), Instant>,
    /// Since when it looks; none where what it has never seen was never there.
    since: Option<Instant>,
}

impl Sightings {
    /// For who is there for long: what it does not see may have been there a moment ago.
    pub(crate) fn since(now: Instant) -> Self {
        Self { since: Some(now), ..Self::default() }
    }

    /// Takes note of the queues and session hosts of these nodes, which are alive, and answers with those that are
    /// served or were within this time. None: it has not looked for so long.
    pub(crate) fn hosts(
        &mut self,
        nodes: &[&NodeRow],
        within: Duration,
        now: Instant,
    ) -> Option<Vec<(String, String)>> {
        for node in nodes.iter().filter(|node| node.fault.is_none()) {
            let its = node.queues.iter().map(|queue| (queue.clone(), node.session_host.clone()));
            self.hosts.extend(its.map(|host| (host, now)));
        }
        self.hosts.retain(|_, seen| now.duration_since(*seen) <= within);
        let is_long = self.since.is_none_or(|since| now.duration_since(since) >= within);
        is_long.then(|| self.hosts.keys().cloned().collect())
    }

    /// Looks at the nodes, and answers with those that have been silent for as long as their lease lasts.
    pub(crate) fn silent(&mut self, nodes: &[NodeRow], now: Instant) -> Vec<String> {
        self.leases.retain(|id, _| nodes.iter().any(|node| node.id == *id));
        let is_silent = |node: &&NodeRow| {
            let (lease, since) = self.leases.entry(node.id.clone()).or_insert((node.lease_until, now));
            if *lease != node.lease_until {
                (*lease, *since) = (node.lease_until, now);
            }
            now.duration_since(*since) >= node.lease
        };
        nodes.iter().filter(is_silent).map(|node| node.id.clone()).collect()
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
    let Some(pid) = process.split('/').next().and_then(|pid| pid.parse::<i32>().ok()) else { return false };
    let seen = Seen::of(std::fs::read_to_string(format!("/proc/{pid}/stat")), || {
        Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
    });
    match seen {
        Seen::Alive { start } => process != format!("{pid}/{start}"),
        Seen::Gone => true,
        Seen::Unknown => false,
    }
}

/// What can be told of a process of this machine.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It runs, since that moment, in ticks since boot.
    Alive { start: String },
    /// It has ended.
    Gone,
    /// `/proc` hides it, or cannot be read at this moment (no file may be opened, say). That proves nothing.
    Unknown,
}

impl Seen {
    /// From its `stat` in `/proc`, and from whether the kernel knows no such process.
    fn of(stat: std::io::Result<String>, is_no_process: impl FnOnce() -> bool) -> Self {
        match stat {
            Ok(stat) => Self::read(&stat).unwrap_or(Self::Unknown),
            Err(_) if is_no_process() => Self::Gone,
            Err(_) => Self::Unknown,
        }
    }

    fn read(stat: &str) -> Option<Self> {
        // The name in parentheses may hold anything; fields are counted after it. The first is the state,
        // the twentieth the start time in ticks since boot.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let start = fields.nth(18)?.to_owned();
        Some(if matches!(state, "Z" | "X") { Self::Gone } else { Self::Alive { start } })
    }
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
    let Seen::Alive { start } = Seen::read(&stat)? else { return None };
    Some(format!("{}/{namespace}/{pid}/{start}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_a_dead_one_is() {
        let ours = this_node(Terms::DEFAULT, host_name(), Timestamp::UNIX_EPOCH);
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
    fn a_process_that_cannot_be_looked_at_is_not_gone() {
        use std::io::{Error, ErrorKind};
        let stat = |state: &str| Ok(format!("7 (a) b) {state} {} 99 0", ["0"; 18].join(" ")));
        let failed = |kind: ErrorKind| Err(Error::from(kind));
        let table = [
            (stat("S"), false, Seen::Alive { start: "99".to_owned() }),
            (stat("Z"), false, Seen::Gone),
            (Ok("garbage".to_owned()), true, Seen::Unknown),
            (failed(ErrorKind::NotFound), true, Seen::Gone),
            (failed(ErrorKind::NotFound), false, Seen::Unknown),
            (failed(ErrorKind::PermissionDenied), false, Seen::Unknown),
            (Err(Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())), false, Seen::Unknown),
        ];
        for (stat, is_no_process, expected) in table {
            let shown = format!("{stat:?}, {is_no_process}");
            assert_eq!(Seen::of(stat, || is_no_process), expected, "{shown}");
        }
    }

    #[test]
    fn a_lease_is_long_enough_for_its_runs_to_end() {
        for (grace, shortest) in
            [(0, 12), (3, 12), (5, 12), (6, 14), (33, 60), (60, 107), (u64::MAX, 30 * 86_400 + 1)]
        {
            let found = Terms::shortest_for(Duration::from_secs(grace));
            assert!(found.as_secs_f64().ceil() as u64 >= shortest, "{grace}: {found:?}");
        }
        for terms in [Terms::SHORTEST, Terms::DEFAULT.lease(), Terms::LONGEST].map(Terms::of) {
            let terms = terms.expect("in the range");
            let grace = terms.lease() * 7 / 12 - KILLING;
            assert!(Terms::shortest_for(grace) <= terms.lease());
            // When its supervisor asks it to end that heard of the last renewal only.
            let asked = terms.life_of_runs() - grace - KILLING;
            assert!(asked >= terms.renew_every() + terms.renew_every() / 3, "{terms:?}: {asked:?}");
        }
        assert!(Terms::of(Terms::SHORTEST - Duration::from_millis(1)).is_none());
        assert!(Terms::of(Terms::LONGEST + Duration::from_millis(1)).is_none());
    }

    #[test]
    fn silence_is_measured_from_the_last_change_that_was_seen() {
        let mut sightings = Sightings::default();
        let mut node = this_node(Terms::DEFAULT, host_name(), Timestamp::UNIX_EPOCH);
        let start = Instant::now();
        let look = |sightings: &mut Sightings, node: &NodeRow, seconds: u64| {
            !sightings.silent(std::slice::from_ref(node), start + Duration::from_secs(seconds)).is_empty()
        };
        assert!(!look(&mut sightings, &node, 0), "its lease ended decades ago by our clock");
        assert!(!look(&mut sightings, &node, 59));
        node.lease_until = later(node.lease_until, Terms::DEFAULT.renew_every());
        assert!(!look(&mut sightings, &node, 61), "it was renewed");
        assert!(!look(&mut sightings, &node, 120));
        assert!(look(&mut sightings, &node, 121));
        sightings.silent(&[], start);
        assert!(!look(&mut sightings, &node, 200), "another node, as far as we know");
    }

    /// A deploy is a gap of seconds: the sessions of that host are not given to others for it.
    #[test]
    fn a_session_host_is_gone_when_no_node_has_served_there_for_long() {
        let mut node = this_node(Terms::DEFAULT, "host".to_owned(), Timestamp::UNIX_EPOCH);
        node.queues = vec!["queue".to_owned()];
        let within = Duration::from_secs(600);
        let start = Instant::now();
        let hosts = |sightings: &mut Sightings, nodes: &[&NodeRow], seconds: u64| {
            sightings.hosts(nodes, within, start + Duration::from_secs(seconds))
        };
        let kept = || Some(vec![("queue".to_owned(), "host".to_owned())]);
        let mut sightings = Sightings::since(start);
        assert_eq!(hosts(&mut sightings, &[], 599), None, "it may have gone a moment before we came");
        assert_eq!(hosts(&mut sightings, &[], 600), Some(vec![]));
        assert_eq!(hosts(&mut sightings, &[&node], 700), kept());
        assert_eq!(hosts(&mut sightings, &[], 1_300), kept());
        assert_eq!(hosts(&mut sightings, &[], 1_301), Some(vec![]));
        node.fault = Some("environment: the disk is full".to_owned());
        assert_eq!(hosts(&mut sightings, &[&node], 1_302), Some(vec![]), "it claims nothing");
        assert_eq!(hosts(&mut Sightings::default(), &[], 0), Some(vec![]), "a drain does not wait");
    }

    #[test]
    fn another_machine_proves_nothing() {
        let mut node = this_node(Terms::DEFAULT, host_name(), Timestamp::UNIX_EPOCH);
        node.process = "other-boot/1/999999/1".to_owned();
        assert!(!is_gone(&node));
        node.process = String::new();
        assert!(!is_gone(&node));
    }
}
