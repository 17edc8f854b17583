//! Durations on the command line.

use std::time::Duration;

use crate::options::parse_duration;

/// Reads a duration.
/// Also none at all.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let is_zero = !digits.is_empty() && digits.bytes().all(|it| it == b'0');
    if is_zero { Ok(Duration::ZERO) } else { duration(text) }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "give a duration of at most 30 days: `90s`, `10m`, `1h30m`, or seconds".to_owned())
}
