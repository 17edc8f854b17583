//! When a usage limit is lifted: from the events where they say so, else from what the CLI says.
//!
//! | where | forms |
//! |---|---|
//! | `resetsAt` of the rate-limit event, or of the error's parameters | seconds or milliseconds, as a number or as text; RFC 3339 |
//! | the old text `…\|<epoch>` | ten digits (seconds) or thirteen (milliseconds) |
//! | `resets Dec 3, 7am (Europe/Zurich)`, `resets 10pm (TZ)`, `resets at 3:15 pm` | UTC where no zone is named |
//! | `resets in 3h`, `resets in 45 minutes` | from the end of the run |
//!
//! A time that is past is returned as it was said.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::Value;

use super::Report;
use super::report::number;
use crate::clock::between;

/// A time of day that was so short a while ago is past, not tomorrow's: the CLI tells whole minutes, and this machine's
/// clock may be ahead.
const JUST_PAST: Duration = Duration::from_secs(3_600);

/// When the limit is lifted that the report tells of, as far as anything says so.
pub(super) fn resets_at(report: &Report, message: &str) -> Option<Timestamp> {
    let from_event = || stated(&report.rate_limit.as_ref()?["resetsAt"]);
    let from_error =
        || stated(report.api_error.as_ref()?.pointer("/api_error_params/rate_limit_info/resetsAt")?);
    from_event().or_else(from_error).or_else(|| from_text(message, report.ended_at))
}

/// Since 1970, or as RFC 3339 has it.
fn stated(value: &Value) -> Option<Timestamp> {
    epoch(value).or_else(|| value.as_str()?.trim().parse().ok())
}

/// Seconds or milliseconds since 1970: no limit ends before 2001 or after the year 5138.
fn epoch(value: &Value) -> Option<Timestamp> {
    let number = number(value).filter(|number| *number >= 1e9)?;
    let milliseconds = if number < 1e11 { number * 1000.0 } else { number };
    Timestamp::from_millisecond(milliseconds as i64).ok()
}

fn from_text(message: &str, now: Option<Timestamp>) -> Option<Timestamp> {
    let piped = || {
        let (_, digits) = message.rsplit_once('|')?;
        let digits: String = digits.trim_start().chars().take_while(char::is_ascii_digit).collect();
        matches!(digits.len(), 10 | 13).then(|| epoch(&Value::from(digits)))?
    };
    piped().or_else(|| said(message, now?))
}

/// What follows the word `resets`.
fn said(message: &str, now: Timestamp) -> Option<Timestamp> {
    let lower = message.to_lowercase();
    // Lower case may have another length; the zone's name is looked up in any case.
    let (_, after) = lower.rsplit_once("resets ").or_else(|| lower.rsplit_once("reset "))?;
    let after = after.trim_start_matches("at ").trim_start_matches("on ");
    if let Some(wait) = after.strip_prefix("in ") {
        return now.checked_add(SignedDuration::try_from(wait_of(wait)?).ok()?).ok();
    }
    let zone = after.split_once('(').and_then(|(_, zone)| Some(zone.split_once(')')?.0.trim()));
    let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let when = after.split(['(', '·', '.', ';', '\n']).next()?;
    let words = when.split(|it: char| it.is_whitespace() || it == ',').filter(|word| !word.is_empty());
    moment(&words.collect::<Vec<_>>(), &zone, now)
}

/// `[<month> <day>] [<year>] [at] <time of day>`, the next one of that name.
fn moment(words: &[&str], zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let today = zone.to_datetime(now);
    let month = words.first().and_then(|word| {
        let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        Some(names.iter().position(|name| word.starts_with(name))? as i8 + 1)
    });
    let at = |date: Date, time: Time| zone.to_timestamp(DateTime::from_parts(date, time)).ok();
    let Some(month) = month else {
        let time = time_of_day(words)?;
        let days = [today.date().yesterday(), Ok(today.date()), today.date().tomorrow()];
        let moments = days.into_iter().filter_map(|day| at(day.ok()?, time));
        return moments.into_iter().find(|moment| between(*moment, now) <= JUST_PAST);
    };
    let digits = |word: &&str| word.trim_end_matches(|it: char| it.is_alphabetic()).parse::<i8>().ok();
    let day = words.get(1).and_then(digits)?;
    let year = words.get(2).and_then(|word| word.parse::<i16>().ok()).filter(|year| *year > 2000);
    let rest = &words[if year.is_some() { 3 } else { 2 }..];
    let time = time_of_day(rest).or_else(|| rest.is_empty().then(Time::midnight))?;
    let date = Date::new(year.unwrap_or(today.year()), month, day).ok()?;
    // Said without a year in December, January is the next one's. Any other date that is past is past.
    let is_next_year = year.is_none() && date < today.date().checked_sub(6.months()).ok()?;
    at(if is_next_year { date.checked_add(1.year()).ok()? } else { date }, time)
}

/// `7am`, `3:15 pm`, `22:00`.
fn time_of_day(words: &[&str]) -> Option<Time> {
    let text: String = words.iter().filter(|word| **word != "at").copied().collect();
    let clock: String = text.chars().take_while(|it| it.is_ascii_digit() || *it == ':').collect();
    let half = &text[clock.len()..];
    let (hour, minute) = clock.split_once(':').unwrap_or((&clock, "0"));
    let minute = minute.split(':').next()?.parse::<i8>().ok()?;
    let hour = match (hour.parse::<i8>().ok()?, half) {
        (12, half) if half.starts_with("am") => 0,
        (hour @ 1..=11, half) if half.starts_with("pm") => hour + 12,
        (hour @ 0..=12, half) if half.starts_with("am") || half.starts_with("pm") => hour,
        (hour @ 0..=23, _) if clock.contains(':') => hour,
        _ => return None,
    };
    Time::new(hour, minute, 0, 0).ok()
}

/// `3h`, `45 minutes`, `1 day 2 hours`, `2h 30m`.
fn wait_of(text: &str) -> Option<Duration> {
    let mut seconds: Option<u64> = None;
    let mut rest = text.trim_start();
    while let Some(end) = rest.find(|it: char| !it.is_ascii_digit()).filter(|end| *end > 0) {
        let number: u64 = rest[..end].parse().ok()?;
        let after = rest[end..].trim_start();
        let length = after.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = match &after[..length] {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            _ => break,
        };
        seconds = Some(seconds.unwrap_or(0).saturating_add(number.checked_mul(unit)?));
        rest = after[length..].trim_start_matches([' ', ',']).trim_start_matches("and ");
    }
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_a_reset_is_read() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().expect("a time");
        for (text, expected) in [
            (
                "You've hit your weekly limit · resets Dec 3, 7am (Europe/Zurich)",
                Some("2026-12-03T06:00:00Z"),
            ),
            ("resets Dec 1, 4:26pm (UTC)", Some("2026-12-01T16:26:00Z")),
            ("resets 10pm (America/New_York)", Some("2026-12-01T03:00:00Z")),
            ("resets 10pm (Nowhere/Land)", Some("2026-11-30T22:00:00Z")),
            ("5-hour limit reached ∙ resets 3am", Some("2026-12-01T03:00:00Z")),
            ("Your limit resets at 3:15 pm.", Some("2026-11-30T15:15:00Z")),
            ("resets 12am", Some("2026-12-01T00:00:00Z")),
            ("resets 12:30pm (UTC)", Some("2026-11-30T12:30:00Z")),
            ("resets 11:59am", Some("2026-11-30T11:59:00Z")),
            ("resets 11:01am", Some("2026-11-30T11:01:00Z")),
            ("resets 10:59am", Some("2026-12-01T10:59:00Z")),
            ("resets 12:30am (Europe/Moscow)", Some("2026-11-30T21:30:00Z")),
            ("resets at 22:05", Some("2026-11-30T22:05:00Z")),
            ("resets January 2, 2027 at 9am", Some("2027-01-02T09:00:00Z")),
            ("resets Jan 2, 9am", Some("2027-01-02T09:00:00Z")),
            ("resets Nov 29, 9am", Some("2026-11-29T09:00:00Z")),
            ("resets Dec 5 (UTC)", Some("2026-12-05T00:00:00Z")),
            ("limit reached, resets in 3h", Some("2026-11-30T15:00:00Z")),
            ("resets in 45 minutes", Some("2026-11-30T12:45:00Z")),
            ("resets in 1 day and 2 hours", Some("2026-12-01T14:00:00Z")),
            ("Claude AI usage limit reached|1795400000", Some("2026-11-23T02:13:20Z")),
            ("Claude AI usage limit reached|1795400000000", Some("2026-11-23T02:13:20Z")),
            ("usage limit reached|12345", None),
            ("resets soon", None),
            ("resets Smarch 32, 7am", None),
            ("it resets next month", None),
            ("no such word", None),
        ] {
            let expected = expected.map(|text| text.parse::<Timestamp>().expect("a time"));
            assert_eq!(from_text(text, Some(now)), expected, "{text}");
        }
        let midnight: Timestamp = "2026-12-01T00:10:00Z".parse().expect("a time");
        let before = "2026-11-30T23:50:00Z".parse().ok();
        assert_eq!(from_text("resets 11:50pm", Some(midnight)), before);
        assert_eq!(from_text("resets 10pm", None), None, "without a now nobody knows of which day");
    }

    #[test]
    fn every_form_of_an_epoch_is_read() {
        for (value, expected) in [
            (json!(1_795_400_000), true),
            (json!(1_795_400_000_000_i64), true),
            (json!(1_795_400_000.0), true),
            (json!("1795400000"), true),
            (json!("1795400000000"), true),
            (json!(null), false),
            (json!("soon"), false),
            (json!(0), false),
            (json!(-1), false),
            (json!(1e300), false),
        ] {
            let read = epoch(&value).map(|reset| reset.as_second());
            assert_eq!(read, expected.then_some(1_795_400_000), "{value}");
        }
    }
}
