//! Clocks.

#![allow(unsafe_code)]

use core::ptr;

use super::Result;
use super::files::{CLOEXEC, Descriptor, Source};
use super::numbers::{call, number};

/// A time in milliseconds: a length, or since the start of the machine.
pub(crate) type Millis = u64;

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    const ZERO: Self = Self { seconds: 0, nanoseconds: 0 };

    pub(super) const fn of(millis: Millis) -> Self {
        Self { seconds: (millis / 1000) as i64, nanoseconds: (millis % 1000 * 1_000_000) as i64 }
    }
}

/// `CLOCK_BOOTTIME`: goes on while the machine is suspended, and no one sets it.
const BOOTTIME: usize = 7;

/// How long ago the machine was started: the clock of `Uptime` in the host.
pub(in super::super) fn uptime() -> Millis {
    read_clock(BOOTTIME)
}

/// A clock that stands while the machine is suspended, for what the machine takes to do something.
pub(in super::super) fn stopwatch() -> Millis {
    const MONOTONIC: usize = 1;
    read_clock(MONOTONIC)
}

fn read_clock(clock: usize) -> Millis {
    let mut now = Timespec::ZERO;
    // SAFETY: the kernel writes one time.
    let _ = unsafe { call(number::CLOCK_GETTIME, [clock, ptr::from_mut(&mut now) as usize, 0, 0, 0, 0]) };
    now.seconds as u64 * 1000 + now.nanoseconds as u64 / 1_000_000
}

/// A clock that can be waited for.
#[derive(Debug)]
pub(in super::super) struct Timer(Descriptor);

impl Timer {
    pub(in super::super) fn new() -> Result<Self> {
        // SAFETY: no pointers.
        Descriptor::of(unsafe { call(number::TIMERFD_CREATE, [BOOTTIME, CLOEXEC, 0, 0, 0, 0]) }).map(Self)
    }

    /// Rings at that moment, at once when it has passed; never without one.
    pub(in super::super) fn set(&self, moment: Option<Millis>) {
        const ABSOLUTE: usize = 1;
        // Zero would switch it off.
        let moment = moment.map_or(Timespec::ZERO, |moment| Timespec::of(moment.max(1)));
        let setting = [Timespec::ZERO, moment];
        let place = setting.as_ptr() as usize;
        // SAFETY: the kernel reads two times, the interval and the moment.
        let _ = unsafe { call(number::TIMERFD_SETTIME, [self.0.0 as usize, ABSOLUTE, place, 0, 0, 0]) };
    }

    pub(in super::super) const fn source(&self) -> Source {
        Source::of(&self.0)
    }
}
