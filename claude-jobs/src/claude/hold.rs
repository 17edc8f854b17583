//! [`Hold`]: how we keep hold of one run, so that it can be ended.
//!
//! On Linux by its [supervisor](super::supervisor). Elsewhere, and where this program cannot be its own
//! supervisor, by the CLI's process group: a stop is SIGTERM to the CLI and its MCP servers, the whole
//! grace, SIGKILL to what is left of the group; the CLI ends its tools on SIGTERM. What a tool has
//! detached, and a sudden death of this process, are beyond reach.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
#[cfg(supervisor)]
use tokio::time::timeout;

#[cfg(supervisor)]
use super::supervisor::{self, Front, Tether};
use crate::clock::Uptime;

/// How long a supervisor may take beyond the grace before it is given up.
const SLACK: Duration = Duration::from_secs(2);

/// How runs are kept hold of. See [`ClaudeCli::supervision`](super::ClaudeCli::supervision).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Supervision {
    /// By a supervisor process each: no end of a run leaves a process behind. It is a small helper program
    /// that this library brings along and executes from memory.
    Supervisor,
    /// The same, but the supervisors are this very program, started again, for this reason. Each run takes
    /// some milliseconds of CPU and some hundred KiB more.
    ThisProgram(String),
    /// By the CLI's process group only, for this reason: detached processes of tools outlive the run,
    /// and the CLI outlives a sudden death of this process.
    ProcessGroup(String),
}

/// What runs shall be kept hold of by, where it is possible.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Wish {
    #[default]
    Helper,
    ThisProgram,
    ProcessGroup,
}

/// The reason where somebody has wished for less than there could be.
const CONFIGURED: &str = "configured so";

impl Supervision {
    /// What this program can have of what is wished for.
    pub(super) fn available(wish: Wish) -> Self {
        if matches!(wish, Wish::ProcessGroup) {
            return Self::ProcessGroup(CONFIGURED.to_owned());
        }
        #[cfg(supervisor)]
        {
            let helper = if matches!(wish, Wish::Helper) { Front::of_helper() } else { Err(CONFIGURED) };
            match (helper, Front::of_this_program()) {
                (Ok(_), _) => Self::Supervisor,
                (Err(why), Ok(_)) => Self::ThisProgram(why.to_owned()),
                (Err(why), Err(and)) if why == and => Self::ProcessGroup(why.to_owned()),
                (Err(why), Err(and)) => Self::ProcessGroup(format!("{why}; {and}")),
            }
        }
        #[cfg(not(supervisor))]
        Self::ProcessGroup("supervisor processes need Linux on x86-64 or ARM64".to_owned())
    }

    /// The program to make fronts of; none by process group.
    #[cfg(supervisor)]
    fn front(&self) -> Result<Option<Front>, &'static str> {
        match self {
            Self::Supervisor => Front::of_helper().map(Some),
            Self::ThisProgram(_) => Front::of_this_program().map(Some),
            Self::ProcessGroup(_) => Ok(None),
        }
    }
}

/// What keeps hold of one run.
#[derive(Debug)]
pub(super) struct Hold {
    /// Our child, once it is there.
    child: Arc<AtomicU32>,
    grace: Duration,
    #[cfg(supervisor)]
    tether: Option<Tether>,
}

impl Hold {
    /// For a run that is about to start.
    pub(super) fn new(grace: Duration, supervision: &Supervision) -> std::io::Result<Self> {
        warn_once(supervision);
        Ok(Self {
            child: Arc::default(),
            grace,
            #[cfg(supervisor)]
            tether: supervision.front().map_err(std::io::Error::other)?.map(Tether::new).transpose()?,
        })
    }

    /// What to start for this binary, and the variable to start it with.
    pub(super) fn program<'path>(
        &self,
        binary: &'path Path,
        until: Option<Uptime>,
    ) -> std::io::Result<(&'path Path, Option<(String, String)>)> {
        #[cfg(supervisor)]
        if let Some(tether) = &self.tether {
            let order = tether.order(binary, self.grace, until)?.ok_or_else(|| {
                std::io::Error::other(format!("the path `{}` is not UTF-8", binary.display()))
            })?;
            let variable = (supervisor::VARIABLE.to_owned(), order);
            return Ok((tether.program(), Some(variable)));
        }
        let _ = until;
        Ok((binary, None))
    }

    /// Where to write the id of our child.
    pub(super) fn child(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.child)
    }

    /// Asks the run to end. False where there is no supervisor to ask: then the stream ends the CLI's
    /// group.
    pub(super) fn stop(&self) -> bool {
        #[cfg(supervisor)]
        if let Some(tether) = &self.tether {
            tether.stop();
            return true;
        }
        false
    }

    /// The grace that the stream gives the CLI's group where there is no supervisor.
    pub(super) fn grace_of_the_group(&self) -> Option<Duration> {
        (!self.is_supervised()).then_some(self.grace)
    }

    /// How long a stop may take before [`force`](Self::force) is due.
    pub(super) fn patience(&self) -> Duration {
        self.grace + SLACK
    }

    /// The supervisor does not answer: the front is to end the run. How long that may take; none where
    /// there is no front.
    pub(super) fn force(&self) -> Option<Duration> {
        let front = self.pid().filter(|_| self.is_supervised())?;
        tracing::error!("the supervisor of a run does not answer: ending it through its front");
        let _ = kill_process(front, Signal::USR1);
        Some(self.grace + SLACK)
    }

    /// Lets the run live until then; for ever without a moment.
    pub(super) fn extend(&self, until: Option<Uptime>) {
        #[cfg(supervisor)]
        if let Some(tether) = &self.tether {
            tether.extend(until);
        }
        let _ = until;
    }

    /// What the supervisor says of the end, once our child has ended; it may take a stop's time to
    /// say so.
    #[cfg(supervisor)]
    pub(super) async fn verdict(&self) -> Option<supervisor::Verdict> {
        let verdict = timeout(self.patience() + SLACK, self.tether.as_ref()?.verdict()).await;
        let verdict = verdict.unwrap_or_else(|_| {
            tracing::error!("the supervisor of a run that has lost its front does not answer");
            None
        });
        if let Some(verdict) = verdict.filter(|verdict| verdict.left > 0) {
            tracing::error!(left = verdict.left, "processes of a run could not be ended");
        }
        verdict
    }

    pub(super) fn is_supervised(&self) -> bool {
        #[cfg(supervisor)]
        return self.tether.is_some();
        #[cfg(not(supervisor))]
        false
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw)
    }
}

fn warn_once(supervision: &Supervision) {
    static WARNED: Once = Once::new();
    if let Supervision::ProcessGroup(why) = supervision {
        WARNED.call_once(|| {
            tracing::warn!(why, "runs go without a supervisor: detached processes of tools can outlive them");
        });
    }
}
