//! What the figures shall be. From `TARGETS.md` of the peers' harness: ratios within one run on one
//! machine, because absolute figures drift from machine to machine.

use Bound::{AtMost, AtMostPeer, TimesFloor, TimesPeer, TimesRow};

use crate::measurement::RATE;

/// A row of the table of targets.
pub(crate) struct Target {
    /// The engine and the workload; the best of several variants (`…, batch=1000`) counts.
    pub(crate) row: &'static str,
    pub(crate) column: &'static str,
    pub(crate) bound: Bound,
}

/// What a figure is held against.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// At least so many times the best peer.
    TimesPeer(f64),
    /// At least so many times the bare SQL.
    TimesFloor(f64),
    /// At least so many times our own figure in that row.
    TimesRow(f64, &'static str),
    /// At most the best peer's.
    AtMostPeer,
    /// At most this.
    AtMost(f64),
}

const fn target(row: &'static str, column: &'static str, bound: Bound) -> Target {
    Target { row, column, bound }
}

pub(crate) const TARGETS: &[Target] = &[
    target("postgres w1 insert, tasks=1", RATE, TimesPeer(1.5)),
    target("postgres w1 insert, tasks=1", RATE, TimesFloor(0.75)),
    target("postgres w1 insert, tasks=10", RATE, TimesPeer(3.0)),
    target("postgres w2 bulk", RATE, TimesPeer(1.5)),
    target("postgres w3 drain, 10 strict", RATE, TimesPeer(2.4)),
    target("postgres w3 drain, 10 adaptive", RATE, TimesPeer(1.5)),
    target("postgres w3 drain, 50 adaptive", RATE, TimesPeer(1.5)),
    target("postgres w4 pickup, same process", "p50 ms", AtMostPeer),
    target("postgres w4 pickup, same process", "p99 ms", AtMost(5.0)),
    target("postgres w4 pickup, other connection", "p50 ms", AtMostPeer),
    target("postgres w4 pickup, other connection", "p99 ms", AtMost(5.0)),
    target("postgres w5 1M more waiting", RATE, TimesRow(0.9, "postgres w5 1k more waiting")),
    target("postgres w5 1M completed", RATE, TimesRow(0.8, "postgres w5 1k more waiting")),
    target("postgres w6 idle", "transactions/s", AtMost(2.0)),
    target("postgres w6 idle", "CPU % of a core", AtMost(1.0)),
    target("postgres w6 idle", "resident MiB", AtMost(15.0)),
    target("postgres w7 keys=10000", RATE, TimesRow(0.5, "postgres w7 keys=100")),
    target("sqlite w1 insert, tasks=1", RATE, TimesPeer(1.0)),
    target("sqlite w1 insert, tasks=1", RATE, TimesFloor(0.85)),
    target("sqlite w1 insert, tasks=10", RATE, TimesPeer(4.0)),
    target("sqlite w2 bulk", RATE, TimesPeer(10.0)),
    target("sqlite w3 drain, 10 strict", RATE, TimesFloor(0.6)),
    target("sqlite w3 drain, 10 adaptive", RATE, TimesPeer(1.5)),
    target("sqlite w4 pickup, same process", "p99 ms", AtMost(5.0)),
    target("sqlite w4 pickup, other connection", "p99 ms", AtMost(150.0)),
    target("sqlite w5 1M more waiting", RATE, TimesRow(0.9, "sqlite w5 1k more waiting")),
    target("sqlite w5 1M completed", RATE, TimesRow(0.8, "sqlite w5 1k more waiting")),
    target("sqlite w6 idle", "CPU % of a core", AtMost(1.0)),
    target("sqlite w6 idle", "resident MiB", AtMost(15.0)),
    target("sqlite w7 keys=10000", RATE, TimesRow(0.5, "sqlite w7 keys=100")),
];
