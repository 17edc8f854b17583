//! What is planned for ticks that are late and in time, by each policy.

use super::*;

/// Minutes after some midnight.
fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + 60 * minute).expect("a moment")
}

/// The plan as `minute:runs:missed`.
fn plan(missed: Missed, ticks: &[i64], now: i64) -> Vec<(i64, bool, u64)> {
    let planned = missed.plan(ticks.iter().map(|tick| minute(*tick)), minute(now));
    let minutes = |due: Timestamp| (due.as_second() - minute(0).as_second()) / 60;
    planned.into_iter().map(|it| (minutes(it.due), it.runs, it.missed)).collect()
}

/// Policy, due minutes, the present minute, the plan.
type Case = (Missed, &'static [i64], i64, &'static [(i64, bool, u64)]);

#[test]
fn each_policy() {
    let table: [Case; 11] = [
        (Missed::Skip, &[], 100, &[]),
        (Missed::Skip, &[100], 100, &[(100, true, 0)]),
        (Missed::Skip, &[99], 100, &[(99, true, 0)]),
        (Missed::Skip, &[98], 100, &[(98, false, 1)]),
        (Missed::Skip, &[40, 60, 80, 100], 100, &[(80, false, 3), (100, true, 0)]),
        (Missed::One, &[99, 100], 100, &[(99, true, 0), (100, true, 0)]),
        (Missed::One, &[40], 100, &[(40, true, 0)]),
        (Missed::One, &[40, 60, 80], 100, &[(80, true, 2)]),
        (Missed::One, &[40, 60, 80, 100], 100, &[(100, true, 3)]),
        (Missed::All, &[40, 60, 80], 100, &[(40, true, 0), (60, true, 0), (80, true, 0)]),
        (Missed::All, &[80, 100], 100, &[(80, true, 0), (100, true, 0)]),
    ];
    for (missed, ticks, now, expected) in table {
        assert_eq!(plan(missed, ticks, now), expected, "{missed:?} {ticks:?}");
    }
}

#[test]
fn all_is_bounded_and_the_oldest_are_only_recorded() {
    let ticks: Vec<i64> = (1..=1_005).collect();
    let planned = plan(Missed::All, &ticks, 2_000);
    assert_eq!(planned.len(), 1_001);
    assert_eq!(planned[..2], [(5, false, 5), (6, true, 0)]);
    assert_eq!(planned[1_000], (1_005, true, 0));
}
