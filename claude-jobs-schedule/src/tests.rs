//! Expressions that are refused and why; when good ones are due, above all in the nights in which the
//! clocks are turned.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn ticks(expression: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
    let schedule = Schedule::parse(expression, zone).expect("a good schedule");
    schedule.ticks(at(after), at(until)).map(|tick| tick.to_string()).collect()
}

#[test]
fn good_expressions() {
    let start = "2026-01-01T00:00:00Z";
    let cases = [
        ("0 9 * * *", "2026-01-01T09:00:00Z"),
        ("  0   9 * * *  ", "2026-01-01T09:00:00Z"),
        ("30 9 * * 1-5", "2026-01-01T09:30:00Z"),
        ("0 0 * * mon", "2026-01-05T00:00:00Z"),
        ("0 0 * * 7", "2026-01-04T00:00:00Z"),
        ("0 0 1 JAN-MAR *", "2026-02-01T00:00:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
        ("0 0 L * *", "2026-01-31T00:00:00Z"),
        ("0 0 * * FRI#2", "2026-01-09T00:00:00Z"),
        ("0 0 13 * 5", "2026-01-02T00:00:00Z"),
        ("*/20 * * * *", "2026-01-01T00:20:00Z"),
        ("@hourly", "2026-01-01T01:00:00Z"),
        ("@Daily", "2026-01-02T00:00:00Z"),
        ("@midnight", "2026-01-02T00:00:00Z"),
        ("@weekly", "2026-01-04T00:00:00Z"),
        ("@monthly", "2026-02-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
    ];
    for (expression, first) in cases {
        let schedule = Schedule::parse(expression, "UTC").expect(expression);
        assert_eq!(schedule.after(at(start)), Some(at(first)), "{expression}");
    }
}

#[test]
fn what_is_wrong_is_named_with_an_example() {
    let cases = [
        (
            "",
            "`` has 0 fields: give five (minute, hour, day of the month, month, day of the week), such as `0 9 * * 1-5`",
        ),
        ("0 9 * *", "`0 9 * *` has 4 fields: give five"),
        ("0 0 9 * * *", "`0 0 9 * * *` has 6 fields: give five"),
        ("@dayly", "`@dayly` is no nickname: the nicknames are `@hourly`, `@daily`"),
        ("@reboot", "`@reboot` is no nickname"),
        ("60 9 * * *", "`60` is no minute: give 0 to 59, such as `0`, `0,30` or `*/5`"),
        ("0 24 * * *", "`24` is no hour: give 0 to 23"),
        ("0 9 0 * *", "`0` is no day of the month: give 1 to 31"),
        ("0 9 32 * *", "`32` is no day of the month: give 1 to 31"),
        ("0 9 * 13 *", "`13` is no month: give 1 to 12"),
        ("0 9 * JANUARY *", "`JANUARY` is no month"),
        ("0 9 * * 8", "`8` is no day of the week: give 0 (Sunday) to 7"),
        ("0 9 * * MUN", "`MUN` is no day of the week"),
        ("5-1 9 * * *", "`5-1` is no minute"),
        ("*/0 9 * * *", "`*/0` is no minute"),
        ("/5 9 * * *", "`/5` is no minute"),
        ("1,,2 9 * * *", "`1,,2` is no minute"),
        ("-1 9 * * *", "`-1` is no minute"),
        ("99999999999 9 * * *", "`99999999999` is no minute"),
        ("ä 9 * * *", "`ä` is no minute"),
        ("0 0 31 2 *", "`0 0 31 2 *` is never due: no month that it names has such a day"),
        ("0 0 30 2 *", "`0 0 30 2 *` is never due"),
        ("0 0 31 4,6,9,11 *", "`0 0 31 4,6,9,11 *` is never due"),
    ];
    for (expression, problem) in cases {
        let found = Schedule::parse(expression, "UTC").expect_err(expression);
        assert!(found.starts_with(problem), "{expression}: {found}");
    }
}

#[test]
fn time_zones() {
    let cases = [
        ("Europe/Berlim", "unknown time zone `Europe/Berlim`: did you mean `Europe/Berlin`?"),
        ("Berlin", "unknown time zone `Berlin`: did you mean `Europe/Berlin`?"),
        ("new york", "unknown time zone `new york`: did you mean `America/New_York`?"),
        (
            "Middle/Earth",
            "unknown time zone `Middle/Earth`: give an IANA name, such as `Europe/Berlin` or `UTC`",
        ),
        ("", "unknown time zone ``: give an IANA name, such as `Europe/Berlin` or `UTC`"),
    ];
    for (name, problem) in cases {
        assert_eq!(Schedule::parse("@daily", name).expect_err(name), problem);
    }
    for name in ["UTC", "Europe/Berlin", "US/Eastern", "Asia/Kathmandu"] {
        Schedule::parse("@daily", name).expect(name);
    }
    let schedule = Schedule::parse("0 9  * * *", "europe/berlin").expect("names have no case");
    assert_eq!(schedule.to_string(), "0 9 * * * Europe/Berlin");
}

#[test]
fn a_tick_is_later_than_the_moment_and_ticks_end_with_the_bound() {
    assert_eq!(
        ticks("0 * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
        ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
    );
    let nearly = ticks("0 9 * * *", "UTC", "2026-01-01T08:59:59.999999Z", "2026-01-01T09:00:00Z");
    assert_eq!(nearly, ["2026-01-01T09:00:00Z"]);
    assert_eq!(ticks("0 9 * * *", "UTC", "2026-01-01T09:00:00.000001Z", "2026-01-02T08:59:59Z"), [""; 0]);
    let schedule = Schedule::parse("@daily", "UTC").expect("good");
    assert_eq!(schedule.after(Timestamp::MAX), None);
}

/// Clocks go from 02:00 to 03:00 in Berlin at 01:00 UTC of 29 March 2026, in New York at 07:00 UTC of 8
/// March; back from 03:00 to 02:00 in Berlin at 01:00 UTC of 25 October, from 02:00 to 01:00 in New York
/// at 06:00 UTC of 1 November.
const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

#[test]
fn a_time_that_the_clocks_skip_is_due_at_the_first_moment_after() {
    let cases = [
        ("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00:00Z", ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]),
        // Not a second time at the moment to which the first was put off.
        ("0 2,3 * * *", BERLIN, "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
        ("*/15 2 * * *", BERLIN, "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
        ("0 */2 * * *", BERLIN, "2026-03-29T00:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]),
        ("0 3 * * *", BERLIN, "2026-03-28T12:00:00Z", ["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]),
    ];
    for (expression, zone, after, expected) in cases {
        let schedule = Schedule::parse(expression, zone).expect("good");
        let found: Vec<_> = schedule.ticks(at(after), Timestamp::MAX).take(2).collect();
        assert_eq!(found, expected.map(at), "{expression} {zone}");
    }
}

#[test]
fn a_time_that_the_clocks_show_twice_is_due_the_first_time() {
    let cases = [
        ("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00:00Z", ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]),
        ("30 2,14 * * *", BERLIN, "2026-10-24T13:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-25T13:30:00Z"]),
        ("0 2-3 * * *", BERLIN, "2026-10-24T13:00:00Z", ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"]),
    ];
    for (expression, zone, after, expected) in cases {
        let schedule = Schedule::parse(expression, zone).expect("good");
        let found: Vec<_> = schedule.ticks(at(after), Timestamp::MAX).take(2).collect();
        assert_eq!(found, expected.map(at), "{expression} {zone}");
        // Whoever asks in the second of the two hours is told the same.
        let between = schedule.after(at("2026-10-25T01:10:00Z"));
        assert_ne!(between, Some(at("2026-10-25T01:30:00Z")), "{expression} {zone}");
    }
}

#[test]
fn every_hour_goes_by_the_time_that_passes() {
    let nights = [
        (BERLIN, "2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z"),
        (BERLIN, "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z"),
        (NEW_YORK, "2026-03-08T02:00:00Z", "2026-03-08T12:00:00Z"),
        (NEW_YORK, "2026-11-01T01:00:00Z", "2026-11-01T11:00:00Z"),
    ];
    for (zone, after, until) in nights {
        for (expression, every, offset) in [("*/5 * * * *", 5, 0), ("30 * * * *", 60, 30), ("@hourly", 60, 0)]
        {
            let found: Vec<_> =
                Schedule::parse(expression, zone).expect("good").ticks(at(after), at(until)).collect();
            let first = if offset == 0 { every } else { offset };
            let expected: Vec<_> =
                (0..600 / every).map(|tick| at(after).as_second() + 60 * (first + tick * every)).collect();
            let found: Vec<_> = found.iter().map(|tick| tick.as_second()).collect();
            assert_eq!(found, expected, "{expression} {zone} {after}");
        }
    }
}

/// Every tick is after the one before, from wherever one asks: in all zones, through all changes of two
/// years.
#[test]
fn asking_at_any_moment_gives_the_tick_that_comes_next() {
    let (start, end) = (at("2026-01-01T00:00:00Z"), at("2027-12-31T00:00:00Z"));
    for zone in
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Nuuk"]
    {
        for expression in ["7 * * * *", "*/30 1-3 * * *", "0 0 * * *"] {
            let schedule = Schedule::parse(expression, zone).expect("good");
            let ticks: Vec<_> = schedule.ticks(start, end).collect();
            for pair in ticks.windows(2) {
                let middle =
                    Timestamp::from_second((pair[0].as_second() + pair[1].as_second()) / 2).expect("between");
                assert!(pair[0] < pair[1], "{expression} {zone}");
                assert_eq!(schedule.after(middle), Some(pair[1]), "{expression} {zone} {middle}");
            }
        }
    }
}
