//! Durations on the command line.

use std::time::Duration;

use crate::options::parse_duration;

/// Reads a duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "give a duration of at most 30 days: `90s`, `10m`, `1h30m`, or seconds".to_owned())
}
