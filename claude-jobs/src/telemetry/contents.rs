//! The one switch for contents: whether what a job is about may be seen in spans and log events.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Value;
use tracing::field::display;

use crate::error::Error;
use crate::secrets::Secrets;

static SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether spans and log events of this process hold contents: prompts, answers, reasons, and the words in
/// which claude or the database speak of them. Default: they do not. Metrics never do.
pub fn show_contents(shown: bool) {
    SHOWN.store(shown, Ordering::Relaxed);
}

/// What [`show_contents`] last said.
pub fn contents_are_shown() -> bool {
    SHOWN.load(Ordering::Relaxed)
}

/// A field that is there only where contents are shown.
pub(crate) fn content(text: impl Display) -> Option<impl Value> {
    contents_are_shown().then(|| display(text))
}

/// An error of the database. Where it may quote what was to be written, it is told without those words, or without the
/// secrets in them.
pub(crate) fn careful(error: &Error) -> impl Display {
    Careful(error)
}

struct Careful<'a>(&'a Error);

impl Display for Careful<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (crate::engine::is_forbidden(self.0), contents_are_shown()) {
            (true, false) => formatter.write_str("database: it refuses what was to be written"),
            (true, true) => formatter.write_str(&Secrets::of_this_process().hide(&self.0.to_string())),
            (false, _) => self.0.fmt(formatter),
        }
    }
}
