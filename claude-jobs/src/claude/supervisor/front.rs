//! The front: the wrapper's child, which stands for the CLI.
//!
//! It opens the host's pipes, splits off the supervisor, waits for the verdict and ends as the CLI
//! ended. It keeps the reading end of standard input for as long as the run lives and reads the rest at
//! the end: a CLI that refuses before it has read the prompt then looks the same for every length of
//! prompt, and its reason is not lost to a broken pipe.
//!
//! If the supervisor is killed, the front (a subreaper too) inherits what it had, and ends it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_child_subreaper};

use super::children;
use super::protocol::{Cause, Door, End, Order, Verdict};
use super::sys::{self, Signals};
use super::watch::{self, Lines};

/// The exit code when the front itself cannot work; the CLI has not been started then.
pub(in crate::claude) const BROKEN: i32 = 125;

/// How long the host may take to write the next part of a prompt that nobody reads.
const PROMPT_LIMIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The whole life of a front.
pub(super) fn main(order: &str) -> ! {
    let ended = Order::decode(order).ok_or_else(|| "the order is not one of ours".to_owned()).and_then(live);
    match ended {
        Ok(verdict) => leave(verdict),
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "claude-jobs cannot supervise the run: {problem}");
            sys::exit(BROKEN)
        }
    }
}

fn live(order: Order) -> Result<Verdict, String> {
    let io = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let arguments = arguments().map_err(io("/proc/self/cmdline"))?;
    let is_child_of_host =
        getppid().map(Pid::as_raw_nonzero).is_some_and(|parent| parent.get() == order.host);
    if !is_child_of_host {
        return Err("the process that ordered it is gone".to_owned());
    }
    let control = open(&order, order.control, File::options().read(true)).map_err(io("the control pipe"))?;
    let mut status =
        open(&order, order.status, File::options().write(true)).map_err(io("the status pipe"))?;
    let (ours, theirs) = line().map_err(io("a line to the supervisor"))?;
    set_child_subreaper(Some(getpid())).map_err(|error| format!("cannot inherit processes: {error}"))?;
    let Some(supervisor) = sys::fork().map_err(io("fork"))? else {
        drop(ours);
        let lines = Lines { control, front: theirs };
        let front = lines.front.try_clone();
        let verdict = watch::supervise(&order, &arguments, lines);
        let _ = status.write_all(&verdict.encode());
        let _ = front.map(|front| File::from(front).write_all(&verdict.encode()));
        sys::exit(0)
    };
    drop((control, theirs));
    let _ = rustix::thread::set_name(c"claude-jobs-run");
    sys::let_go_of(&[1, 2]);
    let _ = std::env::set_current_dir("/");
    let signals =
        Signals::hold(&[Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1])
            .map_err(io("signals"))?;
    let verdict = wait(ours, supervisor, &signals).unwrap_or_else(|| {
        let verdict = take_over(&order, &signals);
        let _ = status.write_all(&verdict.encode());
        verdict
    });
    drain_stdin();
    Ok(verdict)
}

/// The arguments after the program's name. Not from `std::env`, which has none before `main` on every
/// C library.
fn arguments() -> std::io::Result<Vec<OsString>> {
    let mut line = std::fs::read("/proc/self/cmdline")?;
    // Each argument ends with NUL.
    line.pop();
    let words = line.split(|byte| *byte == 0).skip(1);
    Ok(words.map(|word| OsString::from_vec(word.to_vec())).collect())
}

/// Opens a pipe of the host anew, at whichever end the options say.
fn open(order: &Order, door: Door, options: &mut std::fs::OpenOptions) -> std::io::Result<File> {
    // O_NONBLOCK, CLOEXEC being std's default: neither opening nor reading ever waits.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = options.custom_flags(flags).open(format!("/proc/{}/fd/{}", order.host, door.descriptor))?;
    let data = file.metadata()?;
    if !data.file_type().is_fifo() || data.ino() != door.inode {
        return Err(std::io::Error::other("it is not what the host has opened"));
    }
    Ok(file)
}

fn line() -> std::io::Result<(File, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    Ok((ours.into(), theirs))
}

/// Waits for the verdict; `None` when the supervisor dies without one. SIGUSR1 is the host's last
/// resort: the supervisor does not answer, so it is killed. Other signals are for the CLI, which the
/// front is not: whoever signals all processes of a service has signalled the CLI too.
fn wait(mut line: File, supervisor: Pid, signals: &Signals) -> Option<Verdict> {
    loop {
        let mut sources = [PollFd::new(&line, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut sources, None);
        let has_spoken = !sources[0].revents().is_empty();
        while let Some(signal) = signals.next() {
            if signal == Signal::USR1.as_raw() {
                // It is our child and not reaped, so the id is its own.
                let _ = kill_process(supervisor, Signal::KILL);
            }
        }
        if has_spoken {
            let mut bytes = [0; Verdict::LENGTH];
            let verdict = line.read_exact(&mut bytes).ok().and_then(|()| Verdict::decode(bytes));
            if verdict.is_some() {
                // It exits now; nothing of it may be left when we do.
                let _ = rustix::process::waitpid(Some(supervisor), rustix::process::WaitOptions::empty());
            }
            return verdict;
        }
    }
}

/// Ends what a killed supervisor has left. The CLI has got SIGTERM by its death.
fn take_over(order: &Order, signals: &Signals) -> Verdict {
    let left = children::end_all(signals, order.grace);
    Verdict { end: End::Signalled(Signal::KILL.as_raw()), cause: Cause::SupervisorGone, left }
}

/// Reads what nobody has read of standard input, as long as it comes.
fn drain_stdin() {
    let mut rest = [0; 16 * 1024];
    let mut stdin = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let Ok(stdin) = &mut stdin else { return };
    while poll(&mut [PollFd::new(&*stdin, PollFlags::IN)], Some(&PROMPT_LIMIT)).is_ok_and(|ready| ready > 0) {
        if !stdin.read(&mut rest).is_ok_and(|length| length > 0) {
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
