//! This process, its children, and its end.

#![allow(unsafe_code)]

use core::ffi::CStr;
use core::mem::size_of;
use core::ptr;

use super::files::{self, Access};
use super::numbers::{call, number};
use super::signals::{self, signal};
use super::{Errno, Result};

/// A process id, positive.
pub(crate) type Pid = i32;

pub(in super::super) fn this() -> Pid {
    // SAFETY: no pointers.
    unsafe { call(number::GETPID, [0; 6]) }.map_or(0, |id| id as Pid)
}

pub(in super::super) fn parent() -> Pid {
    // SAFETY: no pointers.
    unsafe { call(number::GETPPID, [0; 6]) }.map_or(0, |id| id as Pid)
}

pub(in super::super) fn user() -> u32 {
    // SAFETY: no pointers.
    unsafe { call(number::GETUID, [0; 6]) }.map_or(0, |id| id as u32)
}

/// Splits this process in two. The child gets `None`.
pub(in super::super) fn fork() -> Result<Option<Pid>> {
    // SAFETY: both sides go on with memory of their own. This process has one thread, so nothing that
    // another thread was about to do is missing in the child; and neither side asks the C library for
    // anything from here on.
    let child = unsafe { call(number::CLONE, [signal::CHILD as usize, 0, 0, 0, 0, 0])? };
    Ok(Some(child as Pid).filter(|child| *child != 0))
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Status(u32);

impl Status {
    /// Its exit code; none when a signal has ended it.
    pub(in super::super) const fn code(self) -> Option<i32> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8 & 0xff) as i32) } else { None }
    }

    /// The signal that has ended it, if one has.
    pub(in super::super) const fn signal(self) -> i32 {
        (self.0 & 0x7f) as i32
    }
}

/// The next child that has ended, without waiting for one; `None` when all live. An error when there is
/// no child.
pub(in super::super) fn reap_next() -> Result<Option<(Pid, Status)>> {
    const NOHANG: usize = 1;
    let mut status = 0_u32;
    let any = -1_isize as usize;
    // SAFETY: the kernel writes one number.
    let id = unsafe { call(number::WAIT4, [any, ptr::from_mut(&mut status) as usize, NOHANG, 0, 0, 0])? };
    Ok(Some((id as Pid, Status(status))).filter(|(id, _)| *id != 0))
}

/// Waits for the end of a child.
pub(in super::super) fn await_end(child: Pid) {
    // SAFETY: no pointers.
    while unsafe { call(number::WAIT4, [child as usize, 0, 0, 0, 0, 0]) } == Err(Errno::INTERRUPTED) {}
}

/// Signals a process.
pub(in super::super) fn kill(id: Pid, signal: i32) {
    debug_assert!(id > 0, "0 and less mean groups");
    // SAFETY: no pointers.
    let _ = unsafe { call(number::KILL, [id as usize, signal as usize, 0, 0, 0, 0]) };
}

/// Signals all processes of a group.
pub(in super::super) fn kill_group(id: Pid, signal: i32) {
    debug_assert!(id > 1, "1 would mean every process");
    // SAFETY: no pointers.
    let _ = unsafe { call(number::KILL, [-(id as isize) as usize, signal as usize, 0, 0, 0, 0]) };
}

pub(super) fn control(option: usize, argument: usize) -> Result<()> {
    // SAFETY: of the options that are used here, only the name takes a pointer.
    unsafe { call(number::PRCTL, [option, argument, 0, 0, 0, 0])? };
    Ok(())
}

/// Names this process, as `ps` shows it: 15 bytes.
pub(in super::super) fn set_name(name: &CStr) {
    const SET_NAME: usize = 15;
    let _ = control(SET_NAME, name.as_ptr() as usize);
}

/// Makes this process the heir of descendants that lose their parent.
pub(in super::super) fn inherit() -> Result<()> {
    const SET_CHILD_SUBREAPER: usize = 36;
    control(SET_CHILD_SUBREAPER, 1)
}

/// Makes this process the leader of a new session.
pub(in super::super) fn new_session() -> Result<()> {
    // SAFETY: no pointers.
    unsafe { call(number::SETSID, [0; 6])? };
    Ok(())
}

/// Leaves the working directory, so that it is not kept busy.
pub(in super::super) fn leave_folder() {
    // SAFETY: the path ends with NUL.
    let _ = unsafe { call(number::CHDIR, [c"/".as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// Replaces some of the descriptors 0 to 2 by `/dev/null`: the run's streams are the CLI's.
pub(in super::super) fn let_go_of(streams: &[i32]) {
    let Ok(nothing) = files::open(c"/dev/null", Access::Both) else { return };
    for stream in streams {
        // SAFETY: 0 to 2 belong to nobody in a process without `main`.
        let _ = unsafe { call(number::DUP3, [nothing.0 as usize, *stream as usize, 0, 0, 0, 0]) };
    }
}

/// So much memory, all zero; none where the system has none. It takes up room once it is written to.
pub(in super::super) fn memory(words: usize) -> &'static mut [u64] {
    const READ_WRITE: usize = 3;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let nothing = -1_isize as usize;
    let length = words * size_of::<u64>();
    // SAFETY: a new mapping where the kernel finds room touches nothing that is there.
    let place = unsafe { call(number::MMAP, [0, length, READ_WRITE, PRIVATE_ANONYMOUS, nothing, 0]) };
    let Ok(place) = place else { return &mut [] };
    // SAFETY: it is so long, zeroed, aligned to a page, nobody else's, and stays until the process ends.
    unsafe { core::slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(place), words) }
}

/// Ends this process, without running what others have registered for its exit.
pub(crate) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no pointers. It does not return.
        let _ = unsafe { call(number::EXIT_GROUP, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Ends this process by a signal, without a core dump.
pub(crate) fn die_by(signal: i32) -> ! {
    const SET_DUMPABLE: usize = 4;
    let _ = control(SET_DUMPABLE, 0);
    signals::set_action(signal, signals::DEFAULT);
    let _ = signals::set_mask(signals::SET_MASK, 0);
    kill(this(), signal);
    // A signal that does not end a process did not end the CLI either.
    kill(this(), signal::KILL);
    exit(128 + signal)
}
