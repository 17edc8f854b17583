//! [`Breaker`]: whether a node may claim, after faults of its own that kept claude from starting.
//!
//! | state | what is claimed | what comes next |
//! |---|---|---|
//! | closed | all | a run that meets a fault of the node opens it |
//! | open | nothing | a free probe, at first after 250 ms, then after double the wait, at most a minute |
//! | trial | one job | its run closes the breaker, or opens it again with a longer wait |
//!
//! Pure: the time is told.

use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::FailureKind;

/// The first wait for a probe, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));

/// Whether a node may claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Breaker {
    /// All may be claimed.
    #[default]
    Closed,
    /// Nothing may be claimed.
    Open(Open),
    /// The probe succeeded: one job may be claimed.
    Trial(Open),
}

/// What opened a breaker, and when to probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Open {
    /// What was met.
    pub(crate) kind: FailureKind,
    /// What was said of it.
    pub(crate) message: String,
    /// Since when nothing is claimed.
    pub(crate) since: Instant,
    /// When to probe.
    pub(crate) next_probe: Instant,
    /// How often in a row a probe or a trial has failed.
    tries: u32,
}

impl Breaker {
    /// A run has met a fault of the node. Of several at once only the first opens it; that of a trial opens it again.
    pub(crate) fn trip(&mut self, kind: FailureKind, message: &str, now: Instant) {
        let tries = match self {
            Self::Closed => 0,
            Self::Open(_) => return,
            Self::Trial(open) => open.tries + 1,
        };
        let since = self.cause().map_or(now, |open| open.since);
        *self = Self::Open(Open {
            kind,
            message: message.to_owned(),
            since,
            next_probe: now + wait(tries),
            tries,
        });
    }

    /// A probe was answered: nothing is wrong, or this.
    pub(crate) fn probed(&mut self, found: Result<(), (FailureKind, &str)>, now: Instant) {
        let Self::Open(open) = self else { return };
        match found {
            Ok(()) => *self = Self::Trial(open.clone()),
            Err((kind, message)) => {
                open.tries += 1;
                open.next_probe = now + wait(open.tries);
                (open.kind, open.message) = (kind, message.to_owned());
            }
        }
    }

    /// The trial's claude has started.
    pub(crate) fn succeeded(&mut self) {
        if let Self::Trial(_) = self {
            *self = Self::Closed;
        }
    }

    /// What opened it, unless it is closed.
    pub(crate) fn cause(&self) -> Option<&Open> {
        match self {
            Self::Closed => None,
            Self::Open(open) | Self::Trial(open) => Some(open),
        }
    }
}

/// How long to wait for the next probe after so many failed ones.
fn wait(tries: u32) -> Duration {
    (WAITS.0 * (1 << tries.min(16))).min(WAITS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: FailureKind = FailureKind::BinaryMissing;

    #[test]
    fn probes_come_after_double_the_wait_up_to_a_minute() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.trip(KIND, "gone", start);
        let (mut now, mut waits) = (start, Vec::new());
        for _ in 0..11 {
            let next = breaker.cause().expect("it is open").next_probe;
            waits.push((next - now).as_millis());
            now = next;
            breaker.probed(Err((KIND, "still gone")), now);
        }
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        let open = breaker.cause().expect("it is open");
        assert_eq!((open.since, &*open.message), (start, "still gone"));
    }

    #[test]
    fn each_event_in_each_state() {
        let now = Instant::now();
        let open = |tries| Open {
            kind: KIND,
            message: "gone".to_owned(),
            since: now,
            next_probe: now + wait(tries),
            tries,
        };
        let (closed, opened, trial) = (Breaker::Closed, Breaker::Open(open(0)), Breaker::Trial(open(0)));
        let event = |name: &str, mut breaker: Breaker| {
            match name {
                "fault" => breaker.trip(KIND, "gone", now),
                "good" => breaker.probed(Ok(()), now),
                "bad" => breaker.probed(Err((KIND, "gone")), now),
                _ => breaker.succeeded(),
            }
            breaker
        };
        let table = [
            ("fault", &closed, opened.clone()),
            ("fault", &opened, opened.clone()),
            ("fault", &trial, Breaker::Open(open(1))),
            ("good", &closed, closed.clone()),
            ("good", &opened, trial.clone()),
            ("good", &trial, trial.clone()),
            ("bad", &closed, closed.clone()),
            ("bad", &opened, Breaker::Open(open(1))),
            ("bad", &trial, trial.clone()),
            ("success", &closed, closed.clone()),
            // Of a run that started before: it proves nothing of now.
            ("success", &opened, opened.clone()),
            ("success", &trial, closed.clone()),
        ];
        for (name, before, after) in table {
            assert_eq!(event(name, before.clone()), after, "{name} in {before:?}");
        }
    }
}
