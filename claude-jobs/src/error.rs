//! What can go wrong on our side of the queue. A failing claude is no error: it is an
//! [`Outcome`](crate::Outcome).

use crate::job::{JobId, State};
use crate::options::InvalidArgs;

/// The result of a queue operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a queue operation failed. Nothing was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database cannot be opened.
    #[error("cannot open the database `{url}`: {reason}")]
    Connect {
        /// The URL as given, without a password.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The database's tables were made by a newer release.
    #[error(
        "the database is at schema version {found}, this claude-jobs knows versions up to {known}: \
         upgrade claude-jobs on this machine"
    )]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version of this build.
        known: i64,
    },
    /// The file of a SQLite database was deleted or replaced while it was open. Writes would go into the old one, which
    /// nobody reads.
    #[error(
        "the database file `{path}` was deleted or replaced while it was in use: start the program again"
    )]
    DatabaseReplaced {
        /// The file.
        path: String,
    },
    /// The database failed, or could not be reached. A write was not committed, unless the connection broke
    /// while it was: then nobody knows.
    #[error("database: {}", in_its_words(.0.as_ref()))]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection for an insert is to another database than the queue's.
    #[error(
        "the connection is to another database than the queue's, where no runtime would find the job: open \
         it with the queue's URL"
    )]
    OtherDatabase,
    /// The job's args cannot run.
    #[error("invalid args: {0}")]
    InvalidArgs(#[from] InvalidArgs),
    /// A setting of the job is out of range.
    #[error("invalid job: {0}")]
    InvalidJob(String),
    /// No worker of that name is linked into this program.
    #[error("unknown worker `{name}`: {hint}")]
    UnknownWorker {
        /// The name asked for.
        name: String,
        /// The known names, or how to register one.
        hint: String,
    },
    /// Two workers have the same name.
    #[error("two workers are named `{name}`: at {first} and at {second}; give one `name = \"…\"`")]
    DuplicateWorker {
        /// The name.
        name: String,
        /// Where the first is defined.
        first: String,
        /// Where the second is defined.
        second: String,
    },
    /// There is no such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The job's state does not allow the operation.
    #[error("job {id} is `{state}`: {rule}")]
    WrongState {
        /// The job.
        id: JobId,
        /// Its state.
        state: State,
        /// Which states allow the operation.
        rule: &'static str,
    },
    /// A recorded run cannot be read (only from the [test kit](crate::testing)).
    #[error("recording `{path}`: {problem}")]
    Recording {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A scripted claude was asked what its script has no answer for (only from the
    /// [test kit](crate::testing)).
    #[error("{0}")]
    Unscripted(String),
    /// A part of the runtime panicked, or ended although nobody had told it to. The runtime has shut down as after its
    /// signal: running jobs finished or were settled by their worker's `on_lost`. Those of a producer that panicked are
    /// taken over once this node's lease has run out.
    #[error("the runtime has shut down because its {part} {problem}; start it again")]
    BrokeDown {
        /// Which one: ``service `gate` `` or ``producer of queue `review` ``.
        part: String,
        /// What it did: the message of its panic.
        problem: String,
    },
    /// The runtime cannot start as configured.
    #[error("{0}")]
    Configuration(String),
}

/// What an error of a database says, without the words that the driver puts before it.
pub(crate) fn in_its_words(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("error returned from database: ").map_or_else(|| text.clone(), str::to_owned)
}

/// For a [`NewJob`](crate::NewJob) where anything that becomes one is asked for.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
