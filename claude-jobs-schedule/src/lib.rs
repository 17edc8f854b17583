//! [`Schedule`]: a cron expression in a time zone, and when it is due. Use it as
//! `claude_jobs::schedule::Schedule`.
//!
//! A crate of its own, because the attribute `#[claude_worker]` refuses with it while a program compiles
//! what the runtime would refuse when that program starts. It is pure: no clock is read, no file.
//!
//! croner reads the expression and finds the next reading of the clock on the wall that it matches; what
//! moment that reading is, in a zone that turns its clocks, is worked out here. (croner's own way through
//! such a night takes only an expression of one hour and one minute for a time of day, and would run
//! `30 2,14 * * *` twice or not at all.)

use std::fmt;
use std::sync::LazyLock;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

#[cfg(test)]
mod tests;

/// When something is due: a cron expression, read on the clocks of a time zone.
///
/// Where the clocks are turned, the two kinds of expression differ:
///
/// | the hour field | through the night of the change |
/// |---|---|
/// | `*`: every hour | it goes by the time that passes: `*/5 * * * *` is due every five minutes, with no hour left out and no tick twice |
/// | anything else: times of day | each time of a day is due once: one that the clocks skip, at the first moment after; one that they show twice, the first time |
#[derive(Clone)]
pub struct Schedule {
    cron: Cron,
    time_zone: TimeZone,
    /// Whether the hour field is `*`.
    is_hourly: bool,
    expression: String,
    zone_name: String,
}

/// The nicknames, with the expressions they stand for.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The fields in order, with what each takes.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0 to 59, such as `0`, `0,30` or `*/5`"),
    ("hour", "0 to 23, such as `9`, `9-17` or `*/2`"),
    ("day of the month", "1 to 31 or `L` for the last, such as `1`, `1-7` or `*`"),
    ("month", "1 to 12 or names, such as `1`, `JAN-MAR` or `*`"),
    ("day of the week", "0 (Sunday) to 7 (Sunday) or names, such as `1-5`, `MON,WED` or `*`"),
];

/// The rules that are built into the program, whatever the machine has.
static TIME_ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Schedule {
    /// Reads an expression of five fields (minute, hour, day of the month, month, day of the week) or a
    /// nickname (`@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`), and the IANA name of a time zone.
    ///
    /// A field is `*`, a number, a name (`JAN`, `MON`), a range `1-5`, a step `*/15`, or a list of these.
    /// As in every cron, restricting both the day of the month and the day of the week asks for either.
    /// Besides, a day of the month may be `L` (the last) or `15W` (the weekday next to the 15th), a day of
    /// the week `FRI#2` (the second) or `FRIL` (the last).
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong and gives an example: for the expression, then the time zone.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, String> {
        let cron = cron(expression)?;
        let (time_zone, zone_name) = zone(time_zone)?;
        let is_hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { cron, time_zone, is_hourly, expression, zone_name })
    }

    /// The expression as it was given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone's name.
    pub fn time_zone(&self) -> &str {
        &self.zone_name
    }

    /// The first tick that is later than `moment`; `None` when the calendar ends before.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        if self.is_hourly { self.after_by_elapsed_time(moment) } else { self.after_by_time_of_day(moment) }
    }

    /// The ticks that are later than `after` and not later than `until`, in order.
    pub fn ticks(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(after), |tick| self.after(*tick))
            .take_while(move |tick| *tick <= until)
    }

    /// Between two changes of the clocks they go as time does; at each change the search goes on with
    /// what they show from then on.
    fn after_by_elapsed_time(&self, moment: Timestamp) -> Option<Timestamp> {
        let (mut from, mut including) = (moment, false);
        loop {
            let offset = self.time_zone.to_offset(from);
            let reading = self.cron.find_next_occurrence(&offset.to_datetime(from), including).ok()?;
            let tick = offset.to_timestamp(reading).ok()?;
            match self.time_zone.following(from).next() {
                Some(change) if change.timestamp() <= tick => (from, including) = (change.timestamp(), true),
                _ => return Some(tick),
            }
        }
    }

    /// Goes through the readings of the clock, each of which is one moment. Several readings that the
    /// clocks skip are the same moment.
    fn after_by_time_of_day(&self, moment: Timestamp) -> Option<Timestamp> {
        let mut reading = self.time_zone.to_datetime(moment);
        loop {
            reading = self.cron.find_next_occurrence(&reading, false).ok()?;
            let tick = self.moment_of(reading)?;
            if tick > moment {
                return Some(tick);
            }
        }
    }

    fn moment_of(&self, reading: DateTime) -> Option<Timestamp> {
        let moment = self.time_zone.to_ambiguous_timestamp(reading);
        match moment.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                let too_late = before.to_timestamp(reading).ok()?.as_second() + 1;
                let too_late = Timestamp::from_second(too_late).ok()?;
                Some(self.time_zone.preceding(too_late).next()?.timestamp())
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => moment.earlier().ok(),
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Schedule").field(&self.to_string()).finish()
    }
}

/// The expression and the zone: `0 9 * * * Europe/Berlin`.
impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.expression, self.zone_name)
    }
}

fn cron(expression: &str) -> Result<Cron, String> {
    let text = expression.trim();
    let fields = if text.starts_with('@') { expanded(text)? } else { text };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "`{text}` has {} fields: give five (minute, hour, day of the month, month, day of the week), \
             such as `0 9 * * 1-5`, or a nickname, such as `@daily`",
            fields.len()
        ));
    }
    for (position, (field, (name, takes))) in fields.iter().zip(FIELDS).enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        alone[position] = field;
        if read(&alone).is_none() {
            return Err(format!("`{field}` is no {name}: give {takes}"));
        }
    }
    let never = || format!("`{text}` is never due: no month that it names has such a day");
    // A leap year begins: whatever happens at all happens within its century.
    read(&fields)
        .filter(|cron| cron.find_next_occurrence(&date(2024, 1, 1).at(0, 0, 0, 0), true).is_ok())
        .ok_or_else(never)
}

fn expanded(nickname: &str) -> Result<&'static str, String> {
    let known = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(nickname));
    known.map(|(_, fields)| *fields).ok_or_else(|| {
        let names: Vec<_> = NICKNAMES.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("`{nickname}` is no nickname: the nicknames are {}", names.join(", "))
    })
}

fn read(fields: &[&str]) -> Option<Cron> {
    // croner takes `1,,2` for `1,2`.
    if fields.iter().any(|field| field.split(',').any(str::is_empty)) {
        return None;
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(&fields.join(" ")).ok()
}

/// The time zone of that name, and the name as it is written.
fn zone(name: &str) -> Result<(TimeZone, String), String> {
    match TIME_ZONES.get(name) {
        Ok(zone) => {
            let written = zone.iana_name().unwrap_or(name).to_owned();
            Ok((zone, written))
        }
        Err(_) => Err(match near_zone(name) {
            Some(near) => format!("unknown time zone `{name}`: did you mean `{near}`?"),
            None => {
                format!("unknown time zone `{name}`: give an IANA name, such as `Europe/Berlin` or `UTC`")
            }
        }),
    }
}

/// The zone whose city is named, or else the one that is at most two letters away.
fn near_zone(name: &str) -> Option<String> {
    let wanted = name.trim().replace(' ', "_").to_lowercase();
    let known: Vec<String> = TIME_ZONES.available().map(|name| name.to_string()).collect();
    // With as many letters wrong as there are, nothing is near.
    let most = wanted.len().saturating_sub(1).min(2);
    let is_city = |zone: &&String| zone.to_lowercase().rsplit('/').next() == Some(&*wanted);
    let distance = |zone: &&String| strsim::levenshtein(&zone.to_lowercase(), &wanted);
    let by_city = known.iter().find(is_city);
    by_city.or_else(|| known.iter().filter(|zone| distance(zone) <= most).min_by_key(distance)).cloned()
}
