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
//! * The **[front](keeper::front)** is the wrapper's child and stands for the CLI: it ends as the CLI ended. The wrapper
//!   may kill it (it does so when a stream fails), so it owns nothing.
//! * The **supervisor** ([watch](keeper::watch)) is in a session of its own and is a subreaper: descendants that lose
//!   their parent become its children, whatever sessions and daemons they made of themselves. It ends
//!   the run when the host asks, when the host or the front is gone (their pipes close; no parent-death
//!   signal, which follows threads), and when the host does not extend the run's deadline: a paused or
//!   hung host cannot, and by then another node may have taken the job.
//! * The **CLI** has the streams to itself, untouched; the others let go of theirs.
//!
//! To end a run is to send the CLI's group SIGTERM, to wait for the grace, and to kill. After the CLI's
//! end, a normal one included, whatever it left gets SIGTERM, 200 ms, then SIGKILL until there is no
//! child left ([children](keeper::children)).
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
//! The wrapper lets us choose a program, arguments and environment, no more. So the program is not the CLI
//! but a front, which finds its [order](keeper::protocol::Order) in the variable `CLAUDE_JOBS_SUPERVISE`
//! and splits off the supervisor by a fork. There are two such programs with the same code, [keeper]:
//!
//! * The **helper** (`helper.rs`), for which that code is all there is: a static program of five pages
//!   without a C library. The build script compiles it, the library embeds it, and it is executed from
//!   [memory](program). A front or supervisor has only its stack to itself.
//! * **This very executable**, `/proc/self/exe`, where the helper could not be built or memory may not be
//!   executed: a function that the loader runs before `main` ([hook]) sees the variable and never returns.
//!   It costs a big program's dynamic linking and relocations for every run: about 2 ms of CPU and
//!   500 KiB. [support] proves, without starting anything, that this program would become a front.
//!
//! Where neither can be (this crate in a Python module under a policy that forbids memory to be executed),
//! runs go without a supervisor, as on other systems, and a warning says so. The alternatives fall short:
//! an installed second binary can be missing or of another version; code between fork and exec cannot be
//! had through the wrapper, and would have to live under the rules of signal handlers; one supervisor for
//! all runs could not tell their orphans apart.
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
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::time::sleep;

use crate::clock::Uptime;
use keeper::protocol::{Door, Order, Word};

mod hook;
mod keeper;
mod program;
mod support;

pub(super) use keeper::protocol::{BROKEN, Cause, End, VARIABLE, Verdict};
pub(super) use support::Front;

/// How often a supervisor that is waited for is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The host's end of the pipes to one run's supervisor. When it is dropped or its process dies, the
/// run ends.
#[derive(Debug)]
pub(super) struct Tether {
    /// What the front is made of.
    front: Front,
    control: File,
    /// Keeps words that are said before the front has opened its end.
    _reader: OwnedFd,
    status: File,
}

impl Tether {
    /// The pipes of a new run.
    pub(super) fn new(front: Front) -> std::io::Result<Self> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, control) = pipe_with(flags)?;
        let (status, _) = pipe_with(flags)?;
        Ok(Self { front, control: control.into(), _reader: reader, status: status.into() })
    }

    /// The program to start in place of the CLI.
    pub(super) fn program(&self) -> &'static Path {
        self.front.program
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
            grace: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            until: until.map(millis),
        };
        Ok(binary.to_str().map(|binary| format!("{order} {binary}")))
    }

    /// Asks for the end of the run.
    pub(super) fn stop(&self) {
        self.say(Word::Stop);
    }

    /// Lets the run live until then; for ever without a moment.
    pub(super) fn extend(&self, until: Option<Uptime>) {
        self.say(until.map_or(Word::Unlimited, |until| Word::Until(millis(until))));
    }

    /// How the run ended, once the front has. A supervisor without a front (the wrapper kills it when a stream
    /// fails) is waited for: until it says so, something of the run is alive. `None` when nobody is left to say.
    pub(super) async fn verdict(&self) -> Option<Verdict> {
        let mut bytes = [0; Verdict::LENGTH];
        loop {
            match (&self.status).read_exact(&mut bytes) {
                Ok(()) => return Verdict::decode(bytes),
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(LOOK_AGAIN).await,
                Err(_) => return None,
            }
        }
    }

    /// Never waits: a supervisor that has let a whole pipe fill up does not listen, and the deadline
    /// and the last resort are for that.
    fn say(&self, word: Word) {
        if let Err(error) = (&self.control).write_all(&word.encode()) {
            tracing::debug!(%error, ?word, "the supervisor does not listen");
        }
    }
}

/// As front and supervisor count.
fn millis(moment: Uptime) -> u64 {
    u64::try_from(moment.elapsed_since_boot().as_millis()).unwrap_or(u64::MAX).max(1)
}

fn door(pipe: &File) -> std::io::Result<Door> {
    use std::os::unix::fs::MetadataExt;
    Ok(Door { descriptor: pipe.as_raw_fd(), inode: pipe.metadata()?.ino() })
}
