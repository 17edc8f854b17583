//! [`UniquePeriod`]: `unique_period = …` of the attribute, judged while the user's crate compiles.

use crate::options::{Literal, parse_duration};

/// A uniqueness period in seconds, or nothing where the value is none.
#[derive(Clone, Copy, Debug)]
pub struct UniquePeriod(Option<u64>);

impl UniquePeriod {
    /// The period that the literal means: seconds, or text such as `"5m"`.
    pub const fn new(value: Literal) -> Self {
        match value {
            Literal::Int(seconds) if seconds >= 1 => Self(Some(seconds as u64)),
            Literal::Str(text) => match parse_duration(text) {
                Some(duration) if duration.subsec_nanos() == 0 => Self(Some(duration.as_secs())),
                _ => Self(None),
            },
            _ => Self(None),
        }
    }

    /// Panics where the value is no period.
    #[track_caller]
    pub const fn check(self) {
        assert!(
            self.0.is_some(),
            "`unique_period` takes whole seconds, such as `60`, or text up to 30 days, such as `\"5m\"` or `\"1h30m\"`"
        );
    }

    /// The period in seconds.
    pub const fn seconds(self) -> u64 {
        match self.0 {
            Some(seconds) => seconds,
            None => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        let cases = [
            (Literal::Int(1), Some(1)),
            (Literal::Str("5m"), Some(300)),
            (Literal::Str("1m500ms"), None),
            (Literal::Int(0), None),
            (Literal::Str("soon"), None),
            (Literal::Float(1.0), None),
        ];
        for (literal, seconds) in cases {
            assert_eq!(UniquePeriod::new(literal).0, seconds, "{literal:?}");
        }
    }
}
