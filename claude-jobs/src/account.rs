//! For how long nothing is claimed for an account after what claude said of it.
//!
//! | claude reports | first wait | each further wait, while it is still refused |
//! |---|---|---|
//! | a fault of login, key, billing or credits | 1 s | twice the last, at most 1 min |
//! | a usage limit that resets in 58 s or later | until a minute after the reset | by the row that then applies |
//! | a usage limit that resets sooner | until the reset, and up to 1 s more | 5 s once, then by the row that applies |
//! | a usage limit with a reset in the past | 1 min | doubles each time, at most 1 h |
//! | a usage limit without a reset | 5 min | doubles each time, at most 1 h |
//!
//! Waits of a minute and more are lengthened by a jitter. A near reset is tried at once, since the clocks of the API and
//! of this machine differ by seconds at most and a refused request costs nothing. A reset more than a week away counts
//! as a week.
//!
//! Pure: the time is told, and the spread is a hash of the account.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{between, later};
use crate::engine::AccountRow;
use crate::outcome::{Failure, FailureKind};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A reset that is further away is not believed.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// A reset that is nearer is tried at once.
const NEAR: Duration = Duration::from_secs(58);

/// The wait after a near reset at which the API has still refused.
const AFTER_NEAR: Duration = Duration::from_secs(5);

/// The row of an account whose claims a failure stops, given the one that it had already.
pub(crate) fn stopped(
    name: &str,
    queues: &[String],
    failure: &Failure,
    before: Option<&AccountRow>,
    now: Timestamp,
) -> AccountRow {
    let times = before.map_or(1, |row| row.times.saturating_add(1));
    AccountRow {
        name: name.to_owned(),
        kind: failure.kind.name().to_owned(),
        reason: failure.message.clone(),
        since: before.map_or(now, |row| row.since),
        until: later(now, wait(name, failure, before, times, now)),
        times,
        queues: queues.to_vec(),
        trial_node: None,
    }
}

fn wait(name: &str, failure: &Failure, before: Option<&AccountRow>, times: u32, now: Timestamp) -> Duration {
    if failure.kind != FailureKind::UsageLimit {
        return doubled(Duration::from_secs(1), times, MINUTE);
    }
    let spread = |most: Duration| most.mul_f64(fraction(name, times));
    let left = failure.resets_at.map(|reset| between(now, reset).min(LONGEST));
    let was_near = before.is_some_and(|row| row.times == 1 && between(row.since, row.until) < MINUTE);
    match left {
        Some(left) if left >= NEAR => left + MINUTE + spread(MINUTE / 4),
        Some(left) if !left.is_zero() => left + spread(Duration::from_secs(1)),
        Some(_) if was_near => AFTER_NEAR + spread(Duration::from_secs(1)),
        Some(_) => doubled(MINUTE, times, HOUR) + spread(MINUTE / 10),
        None => doubled(5 * MINUTE, times, HOUR) + spread(MINUTE / 2),
    }
}

/// The first wait, doubled with each further time.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    (first * (1 << times.saturating_sub(1).min(12))).min(most)
}

/// From 0 to 1, the same for the same account and time: accounts that met a limit together do not come back together.
fn fraction(name: &str, times: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (name, times).hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::timestamp;

    fn at(seconds: i64) -> Timestamp {
        timestamp((1_900_000_000 + seconds) * 1_000_000)
    }

    /// The waits in seconds of a series of refusals, each at the end of the wait before, with what the API states as
    /// the reset.
    fn waits(kind: FailureKind, reset: Option<i64>, times: usize) -> Vec<f64> {
        let (mut now, mut row, mut waits) = (at(0), None, Vec::new());
        for _ in 0..times {
            let mut failure = Failure::new(kind, "no");
            failure.resets_at = reset.map(at);
            let next = stopped("account", &[], &failure, row.as_ref(), now);
            waits.push(between(now, next.until).as_secs_f64());
            now = next.until;
            row = Some(next);
        }
        waits
    }

    #[test]
    fn each_kind_of_stop_waits_as_the_table_says() {
        let minute = 60.0;
        let week = 7.0 * 86_400.0;
        // From, to: of each refusal.
        type Ranges = &'static [(f64, f64)];
        let table: [(FailureKind, Option<i64>, Ranges); 5] = [
            (
                FailureKind::Authentication,
                None,
                &[
                    (1.0, 1.0),
                    (2.0, 2.0),
                    (4.0, 4.0),
                    (8.0, 8.0),
                    (16.0, 16.0),
                    (32.0, 32.0),
                    (60.0, 60.0),
                    (60.0, 60.0),
                ],
            ),
            (FailureKind::UsageLimit, Some(4), &[(4.0, 5.0), (5.0, 6.0), (240.0, 246.0), (480.0, 486.0)]),
            (FailureKind::UsageLimit, Some(-5), &[(60.0, 66.0), (120.0, 126.0), (240.0, 246.0)]),
            (FailureKind::UsageLimit, Some(7_200), &[(7_260.0, 7_275.0), (120.0, 126.0)]),
            (
                FailureKind::UsageLimit,
                None,
                &[
                    (300.0, 330.0),
                    (600.0, 630.0),
                    (1_200.0, 1_230.0),
                    (2_400.0, 2_430.0),
                    (3_600.0, 3_630.0),
                    (3_600.0, 3_630.0),
                ],
            ),
        ];
        for (kind, reset, expected) in table {
            let found = waits(kind, reset, expected.len());
            for (wait, (from, to)) in found.iter().zip(expected) {
                assert!((*from..=*to).contains(wait), "{kind:?} {reset:?}: {found:?}");
            }
        }
        let far = waits(FailureKind::UsageLimit, Some(90 * 86_400), 1)[0];
        assert!((week..week + 2.0 * minute).contains(&far), "{far}");
    }

    #[test]
    fn a_row_keeps_since_when_and_counts() {
        let failure = Failure::new(FailureKind::Billing, "no money");
        let first = stopped("a", &["q".to_owned()], &failure, None, at(0));
        let second = stopped("a", &["q".to_owned()], &failure, Some(&first), at(9));
        assert_eq!((second.since, second.times, &*second.kind), (at(0), 2, "billing"));
        assert_eq!((second.queues, second.trial_node), (vec!["q".to_owned()], None));
    }

    #[test]
    fn spreads_differ_and_are_the_same_for_the_same() {
        assert_eq!(fraction("a", 1), fraction("a", 1));
        assert_ne!(fraction("a", 1), fraction("b", 1));
        assert!((0.0..1.0).contains(&fraction("c", 7)));
    }
}
