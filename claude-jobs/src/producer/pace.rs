//! [`Pace`]: how fast a queue's jobs are over, and so how many may be claimed ahead of the free slots.
//!
//! Agent jobs take seconds to hours: none. Jobs that are over faster than a round trip to the database
//! would otherwise spend their time waiting for it.

use std::time::Duration;

/// How many of the last runs count.
const LAST: usize = 64;

/// So far ahead it looks: what will start within this time may be claimed now.
const HORIZON: Duration = Duration::from_millis(5);

/// The most jobs claimed ahead.
const MOST: u32 = 1_000;

/// For no longer than this a settlement waits for other runs to end.
const TOGETHER: Duration = Duration::from_micros(200);

/// About what it takes to hand a run to another thread and to hear of its end.
const CHANGE_OF_THREADS: Duration = Duration::from_micros(50);

/// About what a round trip to the database takes.
const ROUND_TRIP: Duration = Duration::from_micros(300);

/// The times that the last runs took.
#[derive(Debug)]
pub(super) struct Pace {
    /// In nanoseconds; a ring.
    runs: [u64; LAST],
    next: usize,
    sum: u64,
    seen: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { runs: [0; LAST], next: 0, sum: 0, seen: 0 }
    }

    pub(super) fn note(&mut self, run: Duration) {
        // At most a day each, so that the sum cannot overflow.
        let run = run.min(Duration::from_secs(86_400)).as_nanos() as u64;
        self.sum = self.sum - self.runs[self.next] + run;
        self.runs[self.next] = run;
        self.next = (self.next + 1) % LAST;
        self.seen = (self.seen + 1).min(LAST);
    }

    /// How many jobs will have started within the horizon, so many running at once; none until a few
    /// have been seen, and none when they take as long as the horizon themselves.
    pub(super) fn ahead(&self, slots: u32) -> u32 {
        match self.mean() {
            Some(mean) if mean < HORIZON => {
                let starts = HORIZON.as_nanos() / mean.as_nanos().max(1_000);
                u32::try_from(starts).unwrap_or(MOST).saturating_mul(slots).min(MOST)
            }
            _ => 0,
        }
    }

    /// How long to wait for runs that are ending too, before those that have ended are settled: not at
    /// all where runs take as long as a round trip.
    pub(super) fn patience(&self) -> Duration {
        if self.mean().is_some_and(|mean| mean < ROUND_TRIP) { TOGETHER } else { Duration::ZERO }
    }

    /// Whether runs are over so fast that to make each a task of its own takes as long as they do: nearly all
    /// of the last ones, because any may have lost its core for a while.
    pub(super) fn is_instant(&self) -> bool {
        let most = CHANGE_OF_THREADS.as_nanos() as u64;
        self.seen == LAST && self.runs.iter().filter(|run| **run < most).count() >= LAST - LAST / 8
    }

    fn mean(&self) -> Option<Duration> {
        (self.seen >= LAST / 4).then(|| Duration::from_nanos(self.sum / self.seen as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(runs: &[(usize, Duration)]) -> Pace {
        let mut pace = Pace::new();
        for (times, run) in runs {
            (0..*times).for_each(|_| pace.note(*run));
        }
        pace
    }

    #[test]
    fn nothing_is_claimed_ahead_of_agent_jobs_or_of_unknown_ones() {
        assert_eq!(Pace::new().ahead(10), 0);
        assert_eq!(after(&[(15, Duration::from_micros(10))]).ahead(10), 0, "too few to judge");
        assert_eq!(after(&[(64, Duration::from_secs(120))]).ahead(10), 0);
        assert_eq!(after(&[(64, Duration::from_millis(5))]).ahead(10), 0);
        assert_eq!(after(&[(64, Duration::MAX)]).ahead(10), 0, "and no overflow");
    }

    #[test]
    fn as_many_as_will_start_within_five_milliseconds() {
        assert_eq!(after(&[(64, Duration::from_millis(1))]).ahead(10), 50);
        assert_eq!(after(&[(64, Duration::from_micros(10))]).ahead(1), 500);
        assert_eq!(after(&[(64, Duration::ZERO)]).ahead(10), MOST);
    }

    #[test]
    fn only_runs_that_are_over_in_no_time_are_waited_for() {
        assert_eq!(Pace::new().patience(), Duration::ZERO);
        assert_eq!(after(&[(64, Duration::from_micros(10))]).patience(), TOGETHER);
        assert_eq!(after(&[(64, ROUND_TRIP)]).patience(), Duration::ZERO);
    }

    #[test]
    fn only_runs_that_take_less_than_a_change_of_threads_are_instant() {
        assert!(!Pace::new().is_instant());
        assert!(after(&[(64, Duration::from_micros(10))]).is_instant());
        assert!(!after(&[(64, CHANGE_OF_THREADS)]).is_instant());
        assert!(!after(&[(63, Duration::from_micros(10))]).is_instant(), "too few to judge");
        assert!(after(&[(64, Duration::from_micros(10)), (8, Duration::from_millis(10))]).is_instant());
        assert!(!after(&[(64, Duration::from_micros(10)), (9, Duration::from_millis(10))]).is_instant());
    }

    #[test]
    fn one_slow_job_among_the_last_ends_it() {
        assert_eq!(after(&[(64, Duration::from_micros(10)), (1, Duration::from_secs(60))]).ahead(10), 0);
        assert!(after(&[(1, Duration::from_secs(60)), (64, Duration::from_micros(10))]).ahead(10) > 0);
    }
}
