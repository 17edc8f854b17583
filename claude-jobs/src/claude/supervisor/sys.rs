//! The calls that rustix leaves out, behind safe functions: the hook before `main`, fork, signals, the
//! exits of a process that never had a `main`.
//!
//! The only unsafe code of the crate. It knows nothing of runs.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, kill_process, set_parent_process_death_signal, setrlimit,
};

/// [`VARIABLE`](super::protocol::VARIABLE) for C.
const VARIABLE: &CStr = c"CLAUDE_JOBS_SUPERVISE";

/// Run by the loader before `main`, and before other initialisers: std's own, at 00099, is done.
// SAFETY: the section holds pointers to functions that the loader calls once each; `hook` is one, and
// does not unwind (an `extern "C"` function aborts instead).
#[used]
#[unsafe(link_section = ".init_array.00100")]
static HOOK: extern "C" fn() = hook;

/// Whether the loader of this process has run the hook.
static HAS_RUN: AtomicBool = AtomicBool::new(false);

/// In a process that is to be a front, never returns. In all others it costs one look into the
/// environment.
extern "C" fn hook() {
    HAS_RUN.store(true, Ordering::Relaxed);
    // SAFETY: no other thread exists yet that could change the environment.
    let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return;
    }
    // A program with more rights than its caller takes no orders from the caller's environment.
    // SAFETY: no preconditions.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return;
    }
    // SAFETY: `getenv` returned a string that ends with NUL, and nothing changes it.
    let order = unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned();
    super::front::main(&order)
}

/// Whether the loader ran the hook in this process, and where the hook is in memory.
pub(super) fn hook_run() -> Option<usize> {
    HAS_RUN.load(Ordering::Relaxed).then_some(hook as *const () as usize)
}

/// Splits this process in two. The child gets `None`.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: called from the hook only, when this process has one thread: no lock is held by a thread
    // that the child would lack, so both sides may go on with ordinary code.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Signals that are blocked in this process and wait to be read.
pub(super) struct Signals {
    descriptor: OwnedFd,
    /// The mask before, for the CLI.
    before: libc::sigset_t,
}

impl Signals {
    /// Blocks these signals from here on. SIGPIPE is ignored, and SIGCHLD has its default meaning, so
    /// that children can be waited for whatever the host has inherited.
    pub(super) fn hold(signals: &[Signal]) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: all pointers are to live memory of the right type. `sigemptyset` initialises `set`
        // before `sigaddset` changes it, and `sigprocmask` initialises `before`. No handler is installed.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
            }
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            let descriptor = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { descriptor: OwnedFd::from_raw_fd(descriptor), before: before.assume_init() })
        }
    }

    /// The number of the next signal that has come.
    pub(super) fn next(&self) -> Option<i32> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        let read = rustix::io::read(&self.descriptor, &mut info).ok()?;
        // The first field is the number.
        let number = info.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))?;
        (read == info.len()).then_some(number as i32)
    }

    /// Starts a program in a process group of its own, with the signal mask from before, without one of
    /// our variables. It gets SIGTERM when we die.
    pub(super) fn spawn(&self, program: &Path, arguments: &[OsString], without: &str) -> io::Result<Pid> {
        let words = std::iter::once(program.as_os_str()).chain(arguments.iter().map(OsString::as_os_str));
        let words = strings(words.map(OsStr::to_owned))?;
        let variables = std::env::vars_os().filter(|(name, _)| name != without);
        let variables = strings(variables.map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            name
        }))?;
        let program = words.first().cloned().unwrap_or_default();
        let (before, parent) = (self.before, getpid());
        // The command gives us fork, the group, SIGPIPE's default and the way back for errors. Its own
        // execution would take a file that is no program for a shell script.
        let mut command = Command::new(OsStr::from_bytes(program.to_bytes()));
        command.process_group(0);
        // SAFETY: after fork in a process with one thread; besides, all these are plain system calls. The
        // lists end with NULL, and the strings that they point to live until the exec.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::TERM))?;
                // We may have died before it was armed.
                if getppid() != Some(parent) {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                libc::sigprocmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
                let (words, variables) = (pointers(&words), pointers(&variables));
                libc::execve(program.as_ptr(), words.as_ptr(), variables.as_ptr());
                Err(io::Error::last_os_error())
            });
        }
        let id = command.spawn()?.id();
        i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::Other.into())
    }
}

fn strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts.map(|text| CString::new(text.into_vec()).map_err(io::Error::from)).collect()
}

/// A list as C has it.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Replaces descriptors 0 to 2, as many as asked for, by `/dev/null`: the run's streams are the CLI's.
pub(super) fn let_go_of(streams: &[i32]) {
    let Ok(nothing) = std::fs::File::options().read(true).write(true).open("/dev/null") else { return };
    for stream in streams {
        // SAFETY: 0 to 2 belong to nobody in a process without `main`; no owned descriptor is among them.
        unsafe { libc::dup2(nothing.as_raw_fd(), *stream) };
    }
}

/// Ends this process without running what others have registered for its exit.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(code) }
}

/// Ends this process by a signal, without a core dump.
pub(super) fn die_by(signal: i32) -> ! {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let mut all = MaybeUninit::uninit();
    // SAFETY: `sigfillset` initialises the set; the default action needs no handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_UNBLOCK, all.as_ptr(), std::ptr::null_mut());
        libc::raise(signal);
    }
    // A signal that does not end a process did not end the CLI either.
    let _ = kill_process(getpid(), Signal::KILL);
    exit(128 + signal)
}
