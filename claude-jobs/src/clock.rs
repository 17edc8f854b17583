//! The only place that reads the time.
//!
//! Everything else is given `now` as a parameter or asks the [`Clock`] it was built with, so that a
//! test can stand at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A source of the present moment: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    source: Source,
    /// In microseconds.
    ahead: i64,
}

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    /// Microseconds since the Unix epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `start` until [`advance`](Self::advance) moves it. Clones move together.
    pub fn manual(start: Timestamp) -> Self {
        Self { source: Source::Manual(Arc::new(AtomicI64::new(start.as_microsecond()))), ahead: 0 }
    }

    /// The same clock, but this much ahead (behind, when negative): a machine whose clock is off.
    #[must_use]
    pub fn ahead_by(self, by: SignedDuration) -> Self {
        let by = i64::try_from(by.as_micros()).unwrap_or(if by.is_negative() { i64::MIN } else { i64::MAX });
        Self { ahead: self.ahead.saturating_add(by), ..self }
    }

    /// Moves a manual clock forward; the system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(microseconds) = &self.source {
            microseconds.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
        }
    }

    /// Whether it only moves by hand.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.source, Source::Manual(_))
    }

    /// How long to sleep in earnest to wait this long by the clock: one that is set by hand is looked at
    /// again soon, because it may be set to any moment meanwhile.
    pub(crate) fn sleep(&self, wait: Duration) -> Duration {
        if self.is_manual() { wait.min(Duration::from_millis(5)) } else { wait }
    }

    /// The present moment, to the microsecond (what the databases keep).
    pub fn now(&self) -> Timestamp {
        let microseconds = match &self.source {
            Source::System => Timestamp::now().as_microsecond(),
            Source::Manual(microseconds) => microseconds.load(Ordering::SeqCst),
        };
        timestamp(microseconds.saturating_add(self.ahead))
    }
}

/// A moment since this machine was started, on a clock that no one sets.
///
/// On Linux it goes on while the machine is suspended (`CLOCK_BOOTTIME`): a lease that others time by
/// the wall runs out during a suspend too. All processes of a machine read the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

impl Uptime {
    /// The present moment.
    pub fn now() -> Self {
        #[cfg(target_os = "linux")]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = rustix::time::ClockId::Monotonic;
        let now = rustix::time::clock_gettime(clock);
        Self(Duration::try_from(now).unwrap_or_default())
    }

    /// The moment this long after the start of the machine.
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the start of the machine it is.
    pub const fn elapsed_since_boot(self) -> Duration {
        self.0
    }

    /// How much later it is than that moment; zero, if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment this much later.
    #[must_use]
    pub const fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// The moment this much earlier; the start of the machine when that is later still.
    #[must_use]
    pub const fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// The moment that is so many microseconds after the Unix epoch; the nearest one that exists.
pub(crate) fn timestamp(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(if microseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// `moment` later by `by`; the latest moment that exists when that overflows.
pub(crate) fn later(moment: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    timestamp(moment.as_microsecond().saturating_add(by))
}

/// `moment` earlier by `by`; the earliest moment that exists when that overflows.
pub(crate) fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    timestamp(moment.as_microsecond().saturating_sub(by))
}

/// `moment` moved by so many microseconds, to the nearest one that exists.
pub(crate) fn ahead_of(moment: Timestamp, microseconds: i64) -> Timestamp {
    timestamp(moment.as_microsecond().saturating_add(microseconds))
}

/// The time from `start` to `end`; zero when `end` is the earlier one.
pub(crate) fn between(start: Timestamp, end: Timestamp) -> Duration {
    let microseconds = end.as_microsecond().saturating_sub(start.as_microsecond());
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_moves_with_the_right_one() {
        let right = Clock::manual(Timestamp::UNIX_EPOCH);
        let (fast, slow) = (SignedDuration::from_mins(10), SignedDuration::from_mins(-10));
        let (fast, slow) = (right.clone().ahead_by(fast), right.clone().ahead_by(slow));
        right.advance(Duration::from_secs(60));
        assert_eq!([&right, &fast, &slow].map(|clock| clock.now().as_second()), [60, 660, -540]);
        let never = right.ahead_by(SignedDuration::MIN).ahead_by(SignedDuration::MIN);
        assert_eq!(never.now(), Timestamp::MIN);
    }
}
