//! The supervisor proper: a process in a session of its own, parent of the CLI and heir of everything
//! that the CLI leaves behind.
//!
//! It waits for the first of: the CLI's end, a word of the host, the host's death, the front's death, a
//! signal, the deadline. All but the first make it ask the CLI to end and, after the grace, kill it.
//! Then nothing of the run may be left, and it says how it went.

use super::protocol::{Cause, End, Order, Verdict, Word};
use super::sys::{self, Descriptor, Errno, Millis, Pid, Signals, Source, Status, Timer, signal};
use super::text::{Invocation, Text};
use super::{children, litter};

/// How long before the deadline the CLI is asked to end, besides the grace: for killing and reaping.
const KILLING: Millis = 2000;

/// How long what the CLI has left behind may take to end itself, where there was time to ask.
const PATIENCE: Millis = 200;

/// What connects a supervisor with the rest.
pub(super) struct Lines<'a> {
    /// Words of the host; its end is the host's death. Non-blocking.
    pub(super) control: Descriptor,
    /// The front's; its end is the front's death.
    pub(super) front: &'a Descriptor,
}

/// A run under supervision.
struct Watch<'a> {
    cli: Pid,
    lines: Lines<'a>,
    signals: Signals,
    timer: Timer,
    grace: Millis,
    until: Option<Millis>,
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
        kill_at: Millis,
    },
    /// Killed. Given up when even that takes too long.
    Killed {
        cause: Cause,
        give_up_at: Millis,
    },
}

/// Runs the CLI to its end and leaves nothing behind.
pub(super) fn supervise(
    order: &Order,
    binary: Text<'_>,
    invocation: &Invocation<'_>,
    lines: Lines<'_>,
) -> Verdict {
    let watch = match Watch::start(order, binary, invocation, lines) {
        Ok(watch) => watch,
        Err(Errno(error)) => {
            return Verdict { end: End::NotStarted(error), cause: Cause::Itself, left: 0 };
        }
    };
    // From here on the streams are the CLI's alone, and no folder is kept busy.
    sys::let_go_of(&[0, 1, 2]);
    sys::leave_folder();
    let cli = watch.cli;
    let verdict = watch.finish();
    litter::clear(cli, invocation);
    verdict
}

impl<'a> Watch<'a> {
    fn start(
        order: &Order,
        binary: Text<'_>,
        invocation: &Invocation<'_>,
        lines: Lines<'a>,
    ) -> sys::Result<Self> {
        sys::set_name(c"claude-jobs-sup");
        sys::new_session()?;
        sys::inherit()?;
        let signals = Signals::hold(&[signal::CHILD, signal::TERM, signal::INT, signal::HUP, signal::QUIT])?;
        let timer = Timer::new()?;
        let cli = signals.spawn(binary, invocation.arguments, invocation.variables)?;
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
            Phase::Killed { cause, .. } => (cause, 0),
        };
        let left = children::end_all(&self.signals, patience);
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
        let now = sys::uptime();
        if self.ask_at().is_some_and(|moment| moment <= now) {
            self.ask(Cause::Deadline);
        }
        if let Phase::Asked { cause, kill_at } = self.phase
            && kill_at <= now
        {
            // It leads the group and is not reaped: the group's id is its own.
            sys::kill_group(self.cli, signal::KILL);
            self.phase = Phase::Killed { cause, give_up_at: now.saturating_add(KILLING) };
        }
        if let Phase::Killed { give_up_at, .. } = self.phase
            && give_up_at <= now
        {
            self.end = Some(End::Signalled(signal::KILL));
        }
    }

    /// Asks the CLI to end, unless it has been asked.
    fn ask(&mut self, cause: Cause) {
        if self.phase == Phase::Running {
            sys::kill_group(self.cli, signal::TERM);
            // A stopped process takes no SIGTERM.
            sys::kill_group(self.cli, signal::CONT);
            self.phase = Phase::Asked { cause, kill_at: sys::uptime().saturating_add(self.grace) };
        }
    }

    /// When to ask the CLI to end, so that all is over by the deadline.
    fn ask_at(&self) -> Option<Millis> {
        self.until
            .filter(|_| self.phase == Phase::Running)
            .map(|until| until.saturating_sub(self.grace.saturating_add(KILLING)))
    }

    /// Waits for the next thing to happen, and takes it in.
    fn wait(&mut self) {
        let wake = match self.phase {
            Phase::Running => self.ask_at(),
            Phase::Asked { kill_at, .. } => Some(kill_at),
            Phase::Killed { give_up_at, .. } => Some(give_up_at),
        };
        self.timer.set(wake);
        let mut sources = [
            self.signals.source(),
            self.timer.source(),
            Source::of(&self.lines.control),
            Source::of(self.lines.front),
        ];
        // Once it is to end, nothing that host and front could say matters any more.
        let wanted = if self.phase == Phase::Running { 4 } else { 2 };
        if sys::wait_for(&mut sources[..wanted], None).is_err() {
            return;
        }
        let [_, _, control, front] = sources.map(|source| source.is_ready());
        while let Some(signal) = self.signals.next() {
            if signal != signal::CHILD {
                self.ask(Cause::Signal);
            }
        }
        if control {
            self.listen();
        }
        if front {
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
                Err(Errno::WOULD_BLOCK) => return,
                Err(Errno::INTERRUPTED) => {}
                _ => return self.ask(Cause::HostGone),
            }
        }
    }
}

fn end_of(status: Status) -> End {
    match status.code() {
        Some(code) => End::Exited(code),
        None => End::Signalled(status.signal()),
    }
}
