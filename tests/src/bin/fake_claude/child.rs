//! The processes that a fake `claude` leaves running, and the command by which they start.
//!
//! A child is this same program with [`CHILD_COMMAND`] as its first word. It reports its process id on
//! its standard output once it is set up, so that the next step of the script finds it ready.

use std::env;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::Duration;

use claude_jobs_tests::script::{CHILD_COMMAND, Child};

use crate::signals;

/// Starts a child and returns its process id once it is ready.
///
/// # Errors
/// When the process cannot be started or ends before it is ready.
pub(crate) fn start(child: &Child) -> io::Result<u32> {
    let mut command = command(child)?;
    if child.hold_stdout {
        // The report goes by standard output, so the pipe to be held is passed as standard error.
        command.stderr(Stdio::from(io::stdout().as_fd().try_clone_to_owned()?));
    }
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let report = process.stdout.take().expect("it was asked to be a pipe");
    let mut line = String::new();
    BufReader::new(report).read_line(&mut line)?;
    if child.daemonise {
        process.wait()?;
    }
    line.trim().parse().map_err(|_| io::Error::other("the child ended before it was ready"))
}

/// Starts a command in a process group of its own and lets it go.
///
/// # Errors
/// When the process cannot be started.
pub(crate) fn start_tool(words: &[String]) -> io::Result<()> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).spawn().map(drop)
}

fn command(child: &Child) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(CHILD_COMMAND).arg(serde_json::to_string(child)?).stdin(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

/// The life of a child: a session of its own, a report, a sleep.
pub(crate) fn live(words: &[String]) -> ! {
    let settings = words.first().expect("the starter passes the settings");
    let child: Child = serde_json::from_str(settings).expect("the starter wrote them");
    if child.daemonise {
        become_orphan(child);
    }
    // Fails only in a process that already leads a session, which is as good.
    let _ = rustix::process::setsid();
    if child.ignore_signals {
        signals::ignore_all();
    }
    report();
    thread::sleep(Duration::from_millis(child.sleep_ms));
    exit(0)
}

/// Passes the work to a process of its own and ends, so that init or a subreaper inherits it.
fn become_orphan(child: Child) -> ! {
    let heir = Child { daemonise: false, ..child };
    command(&heir)
        .and_then(|mut command| command.stderr(Stdio::inherit()).spawn())
        .expect("this program can start itself");
    exit(0)
}

/// Tells the starter our process id, and lets go of the pipe.
fn report() {
    let _ = writeln!(io::stdout(), "{}", std::process::id());
    let nothing = File::options().write(true).open("/dev/null");
    let nothing = nothing.expect("/dev/null can be opened");
    rustix::stdio::dup2_stdout(nothing).expect("descriptor 1 can be replaced");
}
