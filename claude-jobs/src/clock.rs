//! The only place that reads the time.
//!
//! Everything else is given `now` as a parameter or asks the [`Clock`] it was built with, so that a
//! test can stand at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// A source of the present moment: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

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
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_microsecond()))))
    }

    /// Moves a manual clock forward; the system's clock stays as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(microseconds) = &self.0 {
            microseconds.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
        }
    }

    /// The present moment, to the microsecond (what the databases keep).
    pub fn now(&self) -> Timestamp {
        let microseconds = match &self.0 {
            Source::System => Timestamp::now().as_microsecond(),
            Source::Manual(microseconds) => microseconds.load(Ordering::SeqCst),
        };
        timestamp(microseconds)
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

/// The time from `start` to `end`; zero when `end` is the earlier one.
pub(crate) fn between(start: Timestamp, end: Timestamp) -> Duration {
    let microseconds = end.as_microsecond().saturating_sub(start.as_microsecond());
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}
