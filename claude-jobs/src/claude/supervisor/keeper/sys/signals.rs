//! Signals, and starting the CLI, which gets the ones that were blocked here.

#![allow(unsafe_code)]

use core::mem::size_of;
use core::ptr;

use super::super::text::Text;
use super::files::{CLOEXEC, Descriptor, NONBLOCK, Source, pipe, read_whole};
use super::numbers::{call, number};
use super::processes::{self, Pid, await_end, exit, fork, parent, this};
use super::{Errno, Result};

pub(crate) mod signal {
    //! Signals, by their numbers.

    pub(crate) const HUP: i32 = 1;
    pub(crate) const INT: i32 = 2;
    pub(crate) const QUIT: i32 = 3;
    pub(crate) const KILL: i32 = 9;
    pub(crate) const USR1: i32 = 10;
    pub(crate) const PIPE: i32 = 13;
    pub(crate) const TERM: i32 = 15;
    pub(crate) const CHILD: i32 = 17;
    pub(crate) const CONT: i32 = 18;
}

/// Signals that are blocked in this process and wait to be read.
#[derive(Debug)]
pub(in super::super) struct Signals {
    descriptor: Descriptor,
    /// The mask before, for the CLI.
    before: u64,
}

/// What to do with a signal; the kernel's own structure.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

pub(super) const DEFAULT: usize = 0;
const IGNORE: usize = 1;

pub(super) fn set_action(signal: i32, handler: usize) {
    let action = Action { handler, flags: 0, restorer: 0, mask: 0 };
    let place = ptr::from_ref(&action) as usize;
    // SAFETY: the kernel reads the action; both handlers that are used here are none.
    let _ = unsafe { call(number::RT_SIGACTION, [signal as usize, place, 0, size_of::<u64>(), 0, 0]) };
}

const BLOCK: usize = 0;
pub(super) const SET_MASK: usize = 2;

/// Changes which signals wait; answers which did before.
pub(super) fn set_mask(how: usize, mask: u64) -> Result<u64> {
    let mut before = 0_u64;
    let places = [ptr::from_ref(&mask) as usize, ptr::from_mut(&mut before) as usize];
    // SAFETY: the kernel reads one mask and writes another.
    unsafe { call(number::RT_SIGPROCMASK, [how, places[0], places[1], size_of::<u64>(), 0, 0])? };
    Ok(before)
}

impl Signals {
    /// Blocks these signals from here on. SIGPIPE is ignored, and SIGCHLD has its default meaning, so
    /// that children can be waited for whatever the host has inherited.
    pub(in super::super) fn hold(signals: &[i32]) -> Result<Self> {
        set_action(signal::PIPE, IGNORE);
        set_action(signal::CHILD, DEFAULT);
        let set = signals.iter().fold(0_u64, |set, signal| set | 1 << (signal - 1));
        let before = set_mask(BLOCK, set)?;
        let (new, place) = (-1_isize as usize, ptr::from_ref(&set) as usize);
        // SAFETY: the kernel reads one mask.
        let descriptor =
            unsafe { call(number::SIGNALFD4, [new, place, size_of::<u64>(), CLOEXEC | NONBLOCK, 0, 0]) };
        Ok(Self { descriptor: Descriptor::of(descriptor)?, before })
    }

    /// The number of the next signal that has come.
    pub(in super::super) fn next(&self) -> Option<i32> {
        // `struct signalfd_siginfo`; the first field is the number.
        let mut info = [0; 128];
        let read = self.descriptor.read(&mut info).ok()?;
        let number = info.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
        number.filter(|_| read == info.len())
    }

    pub(in super::super) const fn source(&self) -> Source {
        Source::of(&self.descriptor)
    }

    /// Starts a program in a process group of its own, with the signal mask from before. It gets SIGTERM
    /// when we die.
    pub(in super::super) fn spawn(
        &self,
        program: Text<'_>,
        arguments: &[Option<Text<'_>>],
        variables: &[Option<Text<'_>>],
    ) -> Result<Pid> {
        let this = this();
        let (reader, writer) = pipe()?;
        let Some(child) = fork()? else {
            let Errno(why) = self.become_program(this, program, arguments, variables);
            let _ = writer.write(&why.to_ne_bytes());
            exit(1)
        };
        drop(writer);
        // An exec closes the pipe.
        let mut why = [0; 4];
        if read_whole(&reader, &mut why) {
            await_end(child);
            return Err(Errno(i32::from_ne_bytes(why)));
        }
        Ok(child)
    }

    /// Answers why it could not.
    fn become_program(
        &self,
        parent_before: Pid,
        program: Text<'_>,
        arguments: &[Option<Text<'_>>],
        variables: &[Option<Text<'_>>],
    ) -> Errno {
        const SET_PARENT_DEATH_SIGNAL: usize = 1;
        const NO_SUCH_PROCESS: Errno = Errno(3);
        const INVALID: Errno = Errno(22);
        let become_program = || {
            // SAFETY: no pointers.
            unsafe { call(number::SETPGID, [0; 6])? };
            processes::control(SET_PARENT_DEATH_SIGNAL, signal::TERM as usize)?;
            // We may have died before it was armed.
            if parent() != parent_before {
                return Err(NO_SUCH_PROCESS);
            }
            set_action(signal::PIPE, DEFAULT);
            set_mask(SET_MASK, self.before)?;
            if ![arguments, variables].iter().all(|list| matches!(list.last(), Some(None))) {
                return Err(INVALID);
            }
            let [arguments, variables] = [arguments, variables].map(|list| list.as_ptr() as usize);
            // SAFETY: the program's path ends with NUL, the lists with NULL, the strings in them with NUL.
            unsafe { call(number::EXECVE, [program.address(), arguments, variables, 0, 0, 0]) }
        };
        become_program().err().unwrap_or(INVALID)
    }
}
