//! The supervisor proper: a process in a session of its own, parent of the CLI and heir of everything
//! that the CLI leaves behind.
//!
//! It waits for the first of: the CLI's end, a word of the host, the host's death, the front's death, a
//! signal, the deadline. All but the first make it ask the CLI to end and, after the grace, kill it.
//! Then nothing of the run may be left, and it says how it went.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitStatus, kill_process_group, set_child_subreaper, setsid};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::protocol::{Cause, End, Order, VARIABLE, Verdict, Word};
use super::sys::{self, Signals};
use super::{children, litter};
use crate::clock::Uptime;

/// How long before the deadline the CLI is asked to end, besides the grace: for killing and reaping.
const KILLING: Duration = Duration::from_secs(2);

/// How long what the CLI has left behind may take to end itself, where there was time to ask.
const PATIENCE: Duration = Duration::from_millis(200);

/// What connects a supervisor with the rest.
pub(super) struct Lines {
    /// Words of the host; its end is the host's death. Non-blocking.
    pub(super) control: File,
    /// The front's; its end is the front's death.
    pub(super) front: OwnedFd,
}

/// A run under supervision.
struct Watch {
    cli: Pid,
    lines: Lines,
    signals: Signals,
    timer: OwnedFd,
    grace: Duration,
    until: Option<Uptime>,
    phase: Phase,
    /// How the CLI ended.
    end: Option<End>,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Running,
    /// Asked to end.
    Asked {
        cause: Cause,
        kill_at: Uptime,
    },
    /// Killed. Given up when even that takes too long.
    Killed {
        cause: Cause,
        give_up_at: Uptime,
    },
}

/// Runs the CLI to its end and leaves nothing behind.
pub(super) fn supervise(order: &Order, arguments: &[std::ffi::OsString], lines: Lines) -> Verdict {
    let failed = |error: std::io::Error| Verdict {
        end: End::NotStarted(error.raw_os_error().unwrap_or(0)),
        cause: Cause::Itself,
        left: 0,
    };
    let watch = match Watch::start(order, arguments, lines) {
        Ok(watch) => watch,
        Err(error) => return failed(error),
    };
    // From here on the streams are the CLI's alone, and no folder is kept busy.
    sys::let_go_of(&[0, 1, 2]);
    let _ = std::env::set_current_dir("/");
    watch.finish()
}

impl Watch {
    fn start(order: &Order, arguments: &[std::ffi::OsString], lines: Lines) -> std::io::Result<Self> {
        let _ = rustix::thread::set_name(c"claude-jobs-sup");
        setsid()?;
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let signals = Signals::hold(&[Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT])?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?;
        let cli = signals.spawn(&order.binary, arguments, VARIABLE)?;
        let (grace, until) = (order.grace, order.until);
        Ok(Self { cli, lines, signals, timer, grace, until, phase: Phase::Running, end: None })
    }

    fn finish(mut self) -> Verdict {
        // What was said while this process was made counts before the clock does.
        self.listen();
        let end = loop {
            self.reap();
            self.act_on_time();
            if let Some(end) = self.end {
                break end;
            }
            self.wait();
        };
        let (cause, patience) = match self.phase {
            Phase::Running => (Cause::Itself, PATIENCE),
            Phase::Asked { cause, .. } => (cause, PATIENCE),
            Phase::Killed { cause, .. } => (cause, Duration::ZERO),
        };
        let left = children::end_all(&self.signals, patience);
        litter::clear(self.cli);
        Verdict { end, cause, left }
    }

    fn reap(&mut self) {
        let (cli, end) = (self.cli, &mut self.end);
        children::reap(|pid, status| {
            if pid == cli {
                *end = Some(end_of(status));
            }
        });
    }

    /// Asks the CLI when the deadline is near, kills it when the grace is over.
    fn act_on_time(&mut self) {
        if self.end.is_some() {
            return;
        }
        let now = Uptime::now();
        if self.ask_at().is_some_and(|moment| moment <= now) {
            self.ask(Cause::Deadline);
        }
        if let Phase::Asked { cause, kill_at } = self.phase
            && kill_at <= now
        {
            // It leads the group and is not reaped: the group's id is its own.
            let _ = kill_process_group(self.cli, Signal::KILL);
            self.phase = Phase::Killed { cause, give_up_at: now.plus(KILLING) };
        }
        if let Phase::Killed { give_up_at, .. } = self.phase
            && give_up_at <= now
        {
            self.end = Some(End::Signalled(Signal::KILL.as_raw()));
        }
    }

    /// Asks the CLI to end, unless it has been asked.
    fn ask(&mut self, cause: Cause) {
        if self.phase == Phase::Running {
            let _ = kill_process_group(self.cli, Signal::TERM);
            // A stopped process takes no SIGTERM.
            let _ = kill_process_group(self.cli, Signal::CONT);
            self.phase = Phase::Asked { cause, kill_at: Uptime::now().plus(self.grace) };
        }
    }

    /// When to ask the CLI to end, so that all is over by the deadline.
    fn ask_at(&self) -> Option<Uptime> {
        self.until.filter(|_| self.phase == Phase::Running).map(|until| until.minus(self.grace + KILLING))
    }

    /// Waits for the next thing to happen, and takes it in.
    fn wait(&mut self) {
        let wake = match self.phase {
            Phase::Running => self.ask_at(),
            Phase::Asked { kill_at, .. } => Some(kill_at),
            Phase::Killed { give_up_at, .. } => Some(give_up_at),
        };
        self.set_timer(wake);
        let has_hung_up = PollFlags::HUP | PollFlags::ERR;
        let is_running = self.phase == Phase::Running;
        let mut sources = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.lines.control, PollFlags::IN),
            PollFd::new(&self.lines.front, PollFlags::IN),
        ];
        if !is_running {
            // Nothing that they could say matters any more.
            sources.truncate(2);
        }
        if poll(&mut sources, None).is_err() {
            return;
        }
        let came = |index: usize| sources.get(index).map_or(PollFlags::empty(), PollFd::revents);
        let (control, front) = (came(2), came(3));
        drop(sources);
        while let Some(signal) = self.signals.next() {
            if signal != Signal::CHILD.as_raw() {
                self.ask(Cause::Signal);
            }
        }
        if !control.is_empty() {
            self.listen();
        }
        if front.intersects(has_hung_up | PollFlags::IN) {
            self.ask(Cause::FrontGone);
        }
    }

    /// Takes in what the host says.
    fn listen(&mut self) {
        let mut bytes = [0; Word::LENGTH];
        loop {
            // Words are written whole, so they are read whole.
            match self.lines.control.read(&mut bytes) {
                Ok(Word::LENGTH) => match Word::decode(bytes) {
                    Word::Stop => return self.ask(Cause::Asked),
                    Word::Until(until) => self.until = Some(until),
                    Word::Unlimited => self.until = None,
                },
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                _ => return self.ask(Cause::HostGone),
            }
        }
    }

    fn set_timer(&self, wake: Option<Uptime>) {
        let zero = Timespec::default();
        // Zero would switch it off; a moment that has passed makes it fire at once.
        let wake = wake.map(|moment| moment.elapsed_since_boot().max(Duration::from_nanos(1)));
        let wake = wake.map_or(zero, |wake| Timespec::try_from(wake).unwrap_or(zero));
        let setting = Itimerspec { it_interval: zero, it_value: wake };
        let _ = timerfd_settime(self.timer.as_fd(), TimerfdTimerFlags::ABSTIME, &setting);
    }
}

fn end_of(status: WaitStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => End::Signalled(signal),
        (None, None) => End::Signalled(Signal::KILL.as_raw()),
    }
}
