//! How long a job waits before it runs again.

use std::panic::catch_unwind;
use std::time::Duration;

use crate::job::Job;

/// How long to wait before a retry: from the number of counted attempts, at least 1. One that panics is the default.
pub type Backoff = fn(attempt: u32) -> Duration;

/// The longest backoff that a worker's own function may ask for: 30 days.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30 * 86_400);

/// The default backoff: 15 s doubled with each counted attempt, at most 1 h.
///
/// `min(15 s × 2^(attempt − 1), 1 h)`. It is then spread by ±10 %, so that jobs that failed together do not come back
/// together.
pub fn backoff(attempt: u32) -> Duration {
    const BASE: Duration = Duration::from_secs(15);
    const MOST: Duration = Duration::from_secs(3_600);
    let doublings = attempt.saturating_sub(1).min(16);
    (BASE * (1 << doublings)).min(MOST)
}

/// The wait that a worker's backoff asks for, spread.
pub(super) fn wait(backoff: Backoff, failures: u32, job: &Job) -> Duration {
    let failures = failures.max(1);
    // User code: 2 to the power of the attempt, say, is too much some day.
    let delay = catch_unwind(|| backoff(failures)).unwrap_or_else(|_| self::backoff(failures));
    spread(delay.min(MAX_BACKOFF), job)
}

/// `delay` changed by up to ±10 %, by a hash of job and attempt: no randomness, so that the same
/// settlement worked out twice is the same.
fn spread(delay: Duration, job: &Job) -> Duration {
    // SplitMix64's finaliser: neighbouring ids give unrelated fractions.
    let mut hash = (job.id.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(job.attempt));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let fraction = ((hash ^ (hash >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
    delay.mul_f64(0.9 + 0.2 * fraction)
}
