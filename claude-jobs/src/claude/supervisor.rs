//! A supervisor process per run: every end of a run leaves no process behind.
//!
//! # Shape
//!
//! ```text
//! host ── front ── supervisor ── CLI ── tools, MCP servers, and whatever they fork
//!   │       └─line────┘ │
//!   └───control, status─┘
//! ```
//!
//! * The **host** is the process that this crate is linked into. [`Tether`] is its end.
//! * The **[front]** is the wrapper's child and stands for the CLI: it ends as the CLI ended. The wrapper
//!   may kill it (it does so when a stream fails), so it owns nothing.
//! * The **supervisor** ([watch]) is in a session of its own and is a subreaper: descendants that lose
//!   their parent become its children, whatever sessions and daemons they made of themselves. It ends
//!   the run when the host asks, when the host or the front is gone (their pipes close; no parent-death
//!   signal, which follows threads), and when the host does not extend the run's deadline: a paused or
//!   hung host cannot, and by then another node may have taken the job.
//! * The **CLI** has the streams to itself, untouched; the others let go of theirs.
//!
//! To end a run is to send the CLI's group SIGTERM, to wait for the grace, and to kill. After the CLI's
//! end, a normal one included, whatever it left gets SIGTERM, 200 ms, then SIGKILL until there is no
//! child left ([children]).
//!
//! # Who watches the supervisor
//!
//! The CLI gets SIGTERM by the supervisor's death (its parent has one thread, so there the parent-death
//! signal can be relied on), and the front inherits and ends the rest. A supervisor that does not answer
//! is killed by the front at the host's request. Only when front and supervisor are killed at once does
//! the CLI have just that SIGTERM.
//!
//! # How it starts
//!
//! The wrapper lets us choose a program, arguments and environment, no more. So the program is
//! `/proc/self/exe`: this very executable, also after an upgrade has replaced the file, also in tests and
//! examples. A function that the loader runs before `main` (`sys`) sees the variable
//! `CLAUDE_JOBS_SUPERVISE` and never returns. The alternatives fall short: a second binary would have to
//! be installed; code between fork and exec cannot be had through the wrapper, and would have to live
//! under the rules of signal handlers. [support] proves, without starting anything, that this program
//! would become a front; where it would not (this crate in a Python module), runs go without a
//! supervisor, as on other systems, and a warning says so.
//!
//! The pipes are opened by the front through `/proc/<host>/fd`, with the inode checked. Descriptors of
//! the host are never made inheritable, so no process that another thread starts meanwhile can hold a
//! pipe open.
//!
//! # What it cannot do
//!
//! Processes that are no descendants (a container started through a daemon) are out of reach, and so is
//! what runs as another user. A process of the same user can kill the supervisor and the front together.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::clock::Uptime;
use protocol::{Door, Order, Word};

mod children;
mod front;
mod litter;
mod protocol;
mod support;
mod sys;
mod watch;

pub(super) use front::BROKEN;
pub(super) use protocol::{Cause, End, VARIABLE, Verdict};
pub(super) use support::check;

/// The program to start in place of the CLI.
pub(super) const PROGRAM: &str = "/proc/self/exe";

/// The host's end of the pipes to one run's supervisor. When it is dropped or its process dies, the
/// run ends.
#[derive(Debug)]
pub(super) struct Tether {
    control: File,
    /// Keeps words that are said before the front has opened its end.
    _reader: OwnedFd,
    status: File,
}

impl Tether {
    /// The pipes of a new run.
    pub(super) fn new() -> std::io::Result<Self> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, control) = pipe_with(flags)?;
        let (status, _) = pipe_with(flags)?;
        Ok(Self { control: control.into(), _reader: reader, status: status.into() })
    }

    /// The value of [`VARIABLE`] for this run; `None` when the path is not text.
    pub(super) fn order(
        &self,
        binary: &Path,
        grace: Duration,
        until: Option<Uptime>,
    ) -> std::io::Result<Option<String>> {
        let order = Order {
            host: rustix::process::getpid().as_raw_nonzero().get(),
            control: door(&self.control)?,
            status: door(&self.status)?,
            grace,
            until,
            binary: binary.to_owned(),
        };
        Ok(order.encode())
    }

    /// Asks for the end of the run.
    pub(super) fn stop(&self) {
        self.say(Word::Stop);
    }

    /// Lets the run live until then; for ever without a moment.
    pub(super) fn extend(&self, until: Option<Uptime>) {
        self.say(until.map_or(Word::Unlimited, Word::Until));
    }

    /// How the run ended. `None` until the front has ended, and when nobody was left to say so.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let mut bytes = [0; Verdict::LENGTH];
        (&self.status).read_exact(&mut bytes).ok()?;
        Verdict::decode(bytes)
    }

    /// Never waits: a supervisor that has let a whole pipe fill up does not listen, and the deadline
    /// and the last resort are for that.
    fn say(&self, word: Word) {
        if let Err(error) = (&self.control).write_all(&word.encode()) {
            tracing::debug!(%error, ?word, "the supervisor does not listen");
        }
    }
}

fn door(pipe: &File) -> std::io::Result<Door> {
    use std::os::unix::fs::MetadataExt;
    Ok(Door { descriptor: pipe.as_raw_fd(), inode: pipe.metadata()?.ino() })
}
