//! What happens to the nodes of a fleet, and when: the dice of each node say it.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::time::sleep;

use super::dice::Dice;
use super::node::Node;
use super::proxy::{Proxy, Wire};

/// A node and its wire, if it has one.
#[derive(Debug)]
pub struct Target {
    /// The node.
    pub node: Node,
    /// The wire to its database.
    pub proxy: Option<Proxy>,
}

/// How a storm blows.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// The seed of the dice.
    pub seed: u64,
    /// No new misfortune begins after this time.
    pub lasts: Duration,
    /// The lease of the nodes: misfortunes last up to twice as long.
    pub lease: Duration,
    /// The longest calm of a node between two misfortunes.
    pub calm: Duration,
}

/// What a storm did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    /// Processes killed.
    pub kills: u32,
    /// Processes stopped for less than a lease.
    pub short_stops: u32,
    /// Processes stopped for longer than a lease.
    pub long_stops: u32,
    /// Wires cut.
    pub cuts: u32,
    /// Wires silent.
    pub silences: u32,
}

impl Storm {
    /// Blows over the nodes, then heals what is broken.
    pub async fn blow(self, targets: &mut [Target]) -> Damage {
        let end = Instant::now() + self.lasts;
        let blown = targets.iter_mut().zip(1..).map(|(target, number)| {
            let dice = Dice::new(self.seed.wrapping_mul(31).wrapping_add(number));
            self.blow_over(target, dice, end)
        });
        join_all(blown).await.into_iter().fold(Damage::default(), Damage::plus)
    }

    async fn blow_over(self, target: &mut Target, mut dice: Dice, end: Instant) -> Damage {
        let mut damage = Damage::default();
        loop {
            let calm = dice.millis(500, u64::try_from(self.calm.as_millis()).expect("not ages"));
            if Instant::now() + calm >= end {
                return damage;
            }
            sleep(calm).await;
            let lease = u64::try_from(self.lease.as_millis()).expect("not ages");
            let short = dice.millis(100, lease / 2);
            let long = dice.millis(lease + 1_000, lease * 2);
            let kinds = if target.proxy.is_some() { 6 } else { 4 };
            match dice.below(kinds) {
                0 | 1 => {
                    damage.kills += 1;
                    target.node.kill();
                    sleep(dice.millis(0, 3_000)).await;
                    target.node.revive();
                }
                2 => {
                    damage.short_stops += 1;
                    stop(&mut target.node, short).await;
                }
                3 => {
                    damage.long_stops += 1;
                    stop(&mut target.node, long).await;
                }
                kind => {
                    let wire = if kind == 4 { Wire::Cut } else { Wire::Silent };
                    *(if kind == 4 { &mut damage.cuts } else { &mut damage.silences }) += 1;
                    let proxy = target.proxy.as_ref().expect("only then is it thrown");
                    proxy.set(wire);
                    sleep(if dice.once_in(2) { short } else { long }).await;
                    proxy.set(Wire::Whole);
                }
            }
        }
    }
}

async fn stop(node: &mut Node, time: Duration) {
    node.signal(Signal::STOP);
    sleep(time).await;
    node.signal(Signal::CONT);
}

impl Damage {
    fn plus(self, other: Damage) -> Damage {
        Damage {
            kills: self.kills + other.kills,
            short_stops: self.short_stops + other.short_stops,
            long_stops: self.long_stops + other.long_stops,
            cuts: self.cuts + other.cuts,
            silences: self.silences + other.silences,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { kills, short_stops, long_stops, cuts, silences } = self;
        write!(
            formatter,
            "{kills} kills, {short_stops} short and {long_stops} long stops, {cuts} cuts, {silences} silences"
        )
    }
}
