//! The front: the wrapper's child, which stands for the CLI.
//!
//! It opens the host's pipes, splits off the supervisor, waits for the verdict and ends as the CLI
//! ended. It keeps the reading end of standard input for as long as the run lives and reads the rest at
//! the end: a CLI that refuses before it has read the prompt then looks the same for every length of
//! prompt, and its reason is not lost to a broken pipe.
//!
//! If the supervisor is killed, the front (a subreaper too) inherits what it had, and ends it.

use super::children;
use super::protocol::{BROKEN, Cause, Door, End, Order, VARIABLE, Verdict};
use super::sys::{self, Access, Descriptor, Errno, Kind, Millis, Pid, Signals, Source, signal};
use super::text::{Invocation, Line, Text};
use super::watch::{self, Lines};

/// How long the host may take to write the next part of a prompt that nobody reads.
const PROMPT_LIMIT: Millis = 1000;

/// Why a front cannot work.
struct Problem {
    what: &'static str,
    error: Option<Errno>,
}

impl Problem {
    const fn of(what: &'static str) -> Self {
        Self { what, error: None }
    }

    /// Of something that the system refuses.
    fn with(what: &'static str) -> impl Fn(Errno) -> Self {
        move |error| Self { what, error: Some(error) }
    }

    fn tell(&self) {
        let line =
            Line::<160>::new().text(b"claude-jobs cannot supervise the run: ").text(self.what.as_bytes());
        let line = match self.error {
            Some(Errno(number)) => line.text(b": os error ").number(number.unsigned_abs()),
            None => line,
        };
        let _ = sys::write(2, line.text(b"\n").bytes().unwrap_or(self.what.as_bytes()));
    }
}

/// The whole life of a front, and of the supervisor that it splits off.
pub(crate) fn main(invocation: Invocation<'_>) -> ! {
    match live(invocation) {
        Ok(verdict) => leave(verdict),
        Err(problem) => {
            problem.tell();
            sys::exit(BROKEN)
        }
    }
}

fn live(mut invocation: Invocation<'_>) -> Result<Verdict, Problem> {
    let order = invocation.take_variable(VARIABLE).and_then(Order::decode);
    let (order, binary) = order.ok_or(Problem::of("the order is not one of ours"))?;
    let binary = Text::of(binary);
    if let Some(name @ Some(_)) = invocation.arguments.first_mut() {
        *name = Some(binary);
    }
    if sys::parent() != order.host {
        return Err(Problem::of("the process that ordered it is gone"));
    }
    let control = open(&order, order.control, Access::Read).map_err(Problem::with("the control pipe"))?;
    let status = open(&order, order.status, Access::Write).map_err(Problem::with("the status pipe"))?;
    let (ours, theirs) = sys::socket_pair().map_err(Problem::with("a line to the supervisor"))?;
    sys::inherit().map_err(Problem::with("cannot inherit processes"))?;
    let Some(supervisor) = sys::fork().map_err(Problem::with("fork"))? else {
        drop(ours);
        let verdict = watch::supervise(&order, binary, &invocation, Lines { control, front: &theirs });
        for line in [&status, &theirs] {
            let _ = line.write(&verdict.encode());
        }
        sys::exit(0)
    };
    drop((control, theirs));
    sys::set_name(c"claude-jobs-run");
    sys::let_go_of(&[1, 2]);
    sys::leave_folder();
    let signals = [signal::CHILD, signal::TERM, signal::INT, signal::HUP, signal::QUIT, signal::USR1];
    let signals = Signals::hold(&signals).map_err(Problem::with("signals"))?;
    let verdict = wait(&ours, supervisor, &signals).unwrap_or_else(|| {
        let verdict = take_over(&order, &signals);
        let _ = status.write(&verdict.encode());
        verdict
    });
    drain_stdin();
    Ok(verdict)
}

/// Opens a pipe of the host anew, at whichever end is wanted. Neither opening nor reading ever waits.
fn open(order: &Order, door: Door, access: Access) -> sys::Result<Descriptor> {
    const NOT_OURS: Errno = Errno(9);
    let path = Line::<48>::new().text(b"/proc/").number(order.host.unsigned_abs());
    let path = path.text(b"/fd/").number(door.descriptor.unsigned_abs());
    let pipe = sys::open(path.string().ok_or(NOT_OURS)?, access)?;
    // It may be something else than what the host has opened.
    if pipe.identity()? == (door.inode, Kind::Pipe) { Ok(pipe) } else { Err(NOT_OURS) }
}

/// Waits for the verdict; `None` when the supervisor dies without one. SIGUSR1 is the host's last
/// resort: the supervisor does not answer, so it is killed. Other signals are for the CLI, which the
/// front is not: whoever signals all processes of a service has signalled the CLI too.
fn wait(line: &Descriptor, supervisor: Pid, signals: &Signals) -> Option<Verdict> {
    loop {
        let mut sources = [Source::of(line), signals.source()];
        let _ = sys::wait_for(&mut sources, None);
        while let Some(signal) = signals.next() {
            if signal == signal::USR1 {
                // It is our child and not reaped, so the id is its own.
                sys::kill(supervisor, signal::KILL);
            }
        }
        if sources[0].is_ready() {
            let mut bytes = [0; Verdict::LENGTH];
            let verdict = sys::read_whole(line, &mut bytes).then(|| Verdict::decode(bytes)).flatten();
            if verdict.is_some() {
                // It exits now; nothing of it may be left when we do.
                sys::await_end(supervisor);
            }
            return verdict;
        }
    }
}

/// Ends what a killed supervisor has left. The CLI has got SIGTERM by its death.
fn take_over(order: &Order, signals: &Signals) -> Verdict {
    let left = children::end_all(signals, order.grace);
    Verdict { end: End::Signalled(signal::KILL), cause: Cause::SupervisorGone, left }
}

/// Reads what nobody has read of standard input, as long as it comes.
fn drain_stdin() {
    let mut rest = [0; 4096];
    while sys::wait_for(&mut [Source::stdin()], Some(PROMPT_LIMIT)).is_ok_and(|ready| ready > 0) {
        if !sys::read(0, &mut rest).is_ok_and(|length| length > 0) {
            return;
        }
    }
}

/// Ends as the CLI ended.
fn leave(verdict: Verdict) -> ! {
    match verdict.end {
        End::Exited(code) => sys::exit(code),
        End::Signalled(signal) => sys::die_by(signal),
        End::NotStarted(_) => sys::exit(BROKEN),
    }
}
