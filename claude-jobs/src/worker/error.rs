//! [`HandlerError`]: whatever went wrong in a handler.

use std::error::Error;
use std::fmt;

/// Whatever went wrong in a [`Handler`](super::Handler). `?` makes one of any error, and of a text.
///
/// The handler has failed then, and runs again with the same answer: claude does not. To end the job instead, return
/// [`Verdict::cancel`](crate::Verdict::cancel).
pub struct HandlerError(Box<dyn Error + Send + Sync>);

/// What a [`Handler`](super::Handler) returns: a [`Verdict`](crate::Verdict), or whatever went wrong.
pub type Result<T, E = HandlerError> = std::result::Result<T, E>;

impl HandlerError {
    /// The error itself.
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// With its causes, each behind a colon.
impl fmt::Display for HandlerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut told = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors repeat their cause in their own text.
            if !told.contains(&text) {
                write!(formatter, ": {text}")?;
                told.push_str(&text);
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32> {
        if text.is_empty() {
            return Err("no number".into());
        }
        Ok(text.parse::<u32>()?)
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot save")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn any_error_is_one_and_is_told_with_its_causes() {
        assert_eq!(number("7").expect("a number"), 7);
        assert_eq!(number("").expect_err("empty").to_string(), "no number");
        assert_eq!(number("x").expect_err("no digit").to_string(), "invalid digit found in string");
        let outer = Outer("x".parse::<u32>().expect_err("no digit"));
        let told = HandlerError::from(outer);
        assert_eq!(told.to_string(), "cannot save: invalid digit found in string");
        assert!(told.into_inner().is::<Outer>());
    }
}
