//! System calls, behind safe functions.
//!
//! By instruction and not through the C library: the helper program has none, and behind a fork in the
//! host program its state could not be relied on. Only calls that every kernel since 3.17 has.
//!
//! Unsafe for that reason, as one of three such files (the others are the two starts of a front). It
//! knows nothing of runs.

#![allow(unsafe_code)]

use core::ffi::CStr;
use core::mem::size_of;
use core::ptr;

use super::text::Text;

mod numbers;

pub(super) use numbers::call;
use numbers::number;

/// An error number of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(super) const INTERRUPTED: Self = Self(4);
    pub(super) const WOULD_BLOCK: Self = Self(11);
    pub(super) const REFUSED: Self = Self(111);
}

pub(crate) type Result<T> = core::result::Result<T, Errno>;

/// A process id, positive.
pub(crate) type Pid = i32;

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

/// An open file, closed when dropped.
#[derive(Debug)]
pub(crate) struct Descriptor(i32);

impl Descriptor {
    fn of(result: Result<usize>) -> Result<Self> {
        Ok(Self(result? as i32))
    }

    /// Reads what is there, up to the buffer's length. 0 at the end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        read(self.0, buffer)
    }

    /// Writes what goes in at once.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize> {
        write(self.0, bytes)
    }

    /// The number of what it is open on, and its kind.
    pub(super) fn identity(&self) -> Result<(u64, Kind)> {
        identity(self.0, c"", 0x1000)
    }

    /// The entries of a folder, as the kernel packs them: see [`super::children`].
    pub(super) fn entries(&self, buffer: &mut [u8]) -> Result<usize> {
        // SAFETY: the kernel writes into the buffer, no further than its length.
        unsafe {
            call(number::GETDENTS64, [self.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody can use it afterwards.
        let _ = unsafe { call(number::CLOSE, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Pipe,
    Socket,
    Other,
}

/// How to open a file.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Read = 0,
    Write = 1,
    Both = 2,
}

/// For opening: neither it nor what is done with the file ever waits.
const NONBLOCK: usize = 0o4000;

/// Closed by an exec. One bit for files, pipes, sockets, timers and signals.
const CLOEXEC: usize = 0o2000000;

/// For paths: relative to the working directory.
const HERE: usize = -100_isize as usize;

pub(super) fn open(path: &CStr, access: Access) -> Result<Descriptor> {
    let flags = access as usize | NONBLOCK | CLOEXEC;
    // SAFETY: the path ends with NUL.
    Descriptor::of(unsafe { call(number::OPENAT, [HERE, path.as_ptr() as usize, flags, 0, 0, 0]) })
}

/// Reads from one of the descriptors 0 to 2.
pub(super) fn read(descriptor: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes into the buffer, no further than its length.
    unsafe { call(number::READ, [descriptor as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }
}

/// Writes to one of the descriptors 0 to 2.
pub(super) fn write(descriptor: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads the slice.
    unsafe { call(number::WRITE, [descriptor as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}

/// What a path leads to, without following a link at its end.
pub(super) fn kind(path: &CStr) -> Result<Kind> {
    const NOFOLLOW: usize = 0x100;
    Ok(identity(HERE as i32, path, NOFOLLOW)?.1)
}

fn identity(folder: i32, path: &CStr, flags: usize) -> Result<(u64, Kind)> {
    // `struct stat` takes 144 bytes and less.
    let mut data = [0; 144];
    let place = data.as_mut_ptr() as usize;
    // SAFETY: the path ends with NUL, and the kernel's structure fits in.
    unsafe { call(number::NEWFSTATAT, [folder as usize, path.as_ptr() as usize, place, flags, 0, 0])? };
    let (mut inode, mut mode) = ([0; 8], [0; 4]);
    inode.copy_from_slice(&data[number::STAT_INODE..][..8]);
    mode.copy_from_slice(&data[number::STAT_MODE..][..4]);
    let kind = match u32::from_ne_bytes(mode) & 0o170_000 {
        0o010_000 => Kind::Pipe,
        0o140_000 => Kind::Socket,
        _ => Kind::Other,
    };
    Ok((u64::from_ne_bytes(inode), kind))
}

pub(super) fn remove(path: &CStr) {
    // SAFETY: the path ends with NUL.
    let _ = unsafe { call(number::UNLINKAT, [HERE, path.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// A pipe that is closed by an exec: its reading end, its writing end.
pub(super) fn pipe() -> Result<(Descriptor, Descriptor)> {
    let mut ends = [0_i32; 2];
    // SAFETY: the kernel writes two numbers.
    unsafe { call(number::PIPE2, [ends.as_mut_ptr() as usize, CLOEXEC, 0, 0, 0, 0])? };
    Ok((Descriptor(ends[0]), Descriptor(ends[1])))
}

const UNIX: usize = 1;
const STREAM: usize = 1;

/// Two sockets that are connected with each other.
pub(super) fn socket_pair() -> Result<(Descriptor, Descriptor)> {
    let mut ends = [0_i32; 2];
    let place = ends.as_mut_ptr() as usize;
    // SAFETY: the kernel writes two numbers.
    unsafe { call(number::SOCKETPAIR, [UNIX, STREAM | CLOEXEC, 0, place, 0, 0])? };
    Ok((Descriptor(ends[0]), Descriptor(ends[1])))
}

/// The longest path of a socket, its NUL included.
pub(super) const SOCKET_PATH: usize = 108;

/// Connects to a socket by its path, and hangs up.
pub(super) fn knock(path: &CStr) -> Result<()> {
    let bytes = path.to_bytes_with_nul();
    let mut address = [0_u8; 2 + SOCKET_PATH];
    address[..2].copy_from_slice(&(UNIX as u16).to_ne_bytes());
    const TOO_LONG: Errno = Errno(36);
    address.get_mut(2..2 + bytes.len()).ok_or(TOO_LONG)?.copy_from_slice(bytes);
    // SAFETY: no pointers.
    let socket = unsafe { call(number::SOCKET, [UNIX, STREAM | CLOEXEC | NONBLOCK, 0, 0, 0, 0]) };
    let socket = Descriptor::of(socket)?;
    let length = 2 + bytes.len();
    // SAFETY: the kernel reads so much of the address.
    unsafe { call(number::CONNECT, [socket.0 as usize, address.as_ptr() as usize, length, 0, 0, 0])? };
    Ok(())
}

/// A file to wait for, and what came of it.
#[repr(C)]
pub(super) struct Source {
    descriptor: i32,
    wanted: i16,
    came: i16,
}

impl Source {
    const IN: i16 = 1;

    /// Standard input.
    pub(super) const fn stdin() -> Self {
        Self { descriptor: 0, wanted: Self::IN, came: 0 }
    }

    pub(super) const fn of(descriptor: &Descriptor) -> Self {
        Self { descriptor: descriptor.0, wanted: Self::IN, came: 0 }
    }

    /// Whether there is something to read, the end included.
    pub(super) const fn is_ready(&self) -> bool {
        self.came != 0
    }
}

/// Waits until one of them has something to read or has ended, so long at most: for ever without a limit.
/// Answers how many; 0 when the time is over.
pub(super) fn wait_for(sources: &mut [Source], most: Option<Millis>) -> Result<usize> {
    let mut limit = most.map(Timespec::of);
    let limit = limit.as_mut().map_or(0, |limit| ptr::from_mut(limit) as usize);
    // SAFETY: the kernel reads and writes the sources and the limit, if any. No mask of signals.
    unsafe { call(number::PPOLL, [sources.as_mut_ptr() as usize, sources.len(), limit, 0, 0, 0]) }
}

/// A time in milliseconds: a length, or since the start of the machine.
pub(crate) type Millis = u64;

#[repr(C)]
#[derive(Clone, Copy)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

impl Timespec {
    const ZERO: Self = Self { seconds: 0, nanoseconds: 0 };

    const fn of(millis: Millis) -> Self {
        Self { seconds: (millis / 1000) as i64, nanoseconds: (millis % 1000 * 1_000_000) as i64 }
    }
}

/// `CLOCK_BOOTTIME`: goes on while the machine is suspended, and no one sets it.
const BOOTTIME: usize = 7;

/// How long ago the machine was started: the clock of `Uptime` in the host.
pub(super) fn uptime() -> Millis {
    read_clock(BOOTTIME)
}

/// A clock that stands while the machine is suspended, for what the machine takes to do something.
pub(super) fn stopwatch() -> Millis {
    const MONOTONIC: usize = 1;
    read_clock(MONOTONIC)
}

fn read_clock(clock: usize) -> Millis {
    let mut now = Timespec::ZERO;
    // SAFETY: the kernel writes one time.
    let _ = unsafe { call(number::CLOCK_GETTIME, [clock, ptr::from_mut(&mut now) as usize, 0, 0, 0, 0]) };
    now.seconds as u64 * 1000 + now.nanoseconds as u64 / 1_000_000
}

/// A clock that can be waited for.
#[derive(Debug)]
pub(super) struct Timer(Descriptor);

impl Timer {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: no pointers.
        Descriptor::of(unsafe { call(number::TIMERFD_CREATE, [BOOTTIME, CLOEXEC, 0, 0, 0, 0]) }).map(Self)
    }

    /// Rings at that moment, at once when it has passed; never without one.
    pub(super) fn set(&self, moment: Option<Millis>) {
        const ABSOLUTE: usize = 1;
        // Zero would switch it off.
        let moment = moment.map_or(Timespec::ZERO, |moment| Timespec::of(moment.max(1)));
        let setting = [Timespec::ZERO, moment];
        let place = setting.as_ptr() as usize;
        // SAFETY: the kernel reads two times, the interval and the moment.
        let _ = unsafe { call(number::TIMERFD_SETTIME, [self.0.0 as usize, ABSOLUTE, place, 0, 0, 0]) };
    }

    pub(super) const fn source(&self) -> Source {
        Source::of(&self.0)
    }
}

pub(super) fn this() -> Pid {
    // SAFETY: no pointers.
    unsafe { call(number::GETPID, [0; 6]) }.map_or(0, |id| id as Pid)
}

pub(super) fn parent() -> Pid {
    // SAFETY: no pointers.
    unsafe { call(number::GETPPID, [0; 6]) }.map_or(0, |id| id as Pid)
}

pub(super) fn user() -> u32 {
    // SAFETY: no pointers.
    unsafe { call(number::GETUID, [0; 6]) }.map_or(0, |id| id as u32)
}

/// Splits this process in two. The child gets `None`.
pub(super) fn fork() -> Result<Option<Pid>> {
    // SAFETY: both sides go on with memory of their own. This process has one thread, so nothing that
    // another thread was about to do is missing in the child; and neither side asks the C library for
    // anything from here on.
    let child = unsafe { call(number::CLONE, [signal::CHILD as usize, 0, 0, 0, 0, 0])? };
    Ok(Some(child as Pid).filter(|child| *child != 0))
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Status(u32);

impl Status {
    /// Its exit code; none when a signal has ended it.
    pub(super) const fn code(self) -> Option<i32> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8 & 0xff) as i32) } else { None }
    }

    /// The signal that has ended it, if one has.
    pub(super) const fn signal(self) -> i32 {
        (self.0 & 0x7f) as i32
    }
}

/// The next child that has ended, without waiting for one; `None` when all live. An error when there is
/// no child.
pub(super) fn reap_next() -> Result<Option<(Pid, Status)>> {
    const NOHANG: usize = 1;
    let mut status = 0_u32;
    let any = -1_isize as usize;
    // SAFETY: the kernel writes one number.
    let id = unsafe { call(number::WAIT4, [any, ptr::from_mut(&mut status) as usize, NOHANG, 0, 0, 0])? };
    Ok(Some((id as Pid, Status(status))).filter(|(id, _)| *id != 0))
}

/// Waits for the end of a child.
pub(super) fn await_end(child: Pid) {
    // SAFETY: no pointers.
    while unsafe { call(number::WAIT4, [child as usize, 0, 0, 0, 0, 0]) } == Err(Errno::INTERRUPTED) {}
}

/// Signals a process.
pub(super) fn kill(id: Pid, signal: i32) {
    debug_assert!(id > 0, "0 and less mean groups");
    // SAFETY: no pointers.
    let _ = unsafe { call(number::KILL, [id as usize, signal as usize, 0, 0, 0, 0]) };
}

/// Signals all processes of a group.
pub(super) fn kill_group(id: Pid, signal: i32) {
    debug_assert!(id > 1, "1 would mean every process");
    // SAFETY: no pointers.
    let _ = unsafe { call(number::KILL, [-(id as isize) as usize, signal as usize, 0, 0, 0, 0]) };
}

fn control(option: usize, argument: usize) -> Result<()> {
    // SAFETY: of the options that are used here, only the name takes a pointer.
    unsafe { call(number::PRCTL, [option, argument, 0, 0, 0, 0])? };
    Ok(())
}

/// Names this process, as `ps` shows it: 15 bytes.
pub(super) fn set_name(name: &CStr) {
    const SET_NAME: usize = 15;
    let _ = control(SET_NAME, name.as_ptr() as usize);
}

/// Makes this process the heir of descendants that lose their parent.
pub(super) fn inherit() -> Result<()> {
    const SET_CHILD_SUBREAPER: usize = 36;
    control(SET_CHILD_SUBREAPER, 1)
}

/// Makes this process the leader of a new session.
pub(super) fn new_session() -> Result<()> {
    // SAFETY: no pointers.
    unsafe { call(number::SETSID, [0; 6])? };
    Ok(())
}

/// Leaves the working directory, so that it is not kept busy.
pub(super) fn leave_folder() {
    // SAFETY: the path ends with NUL.
    let _ = unsafe { call(number::CHDIR, [c"/".as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// Replaces some of the descriptors 0 to 2 by `/dev/null`: the run's streams are the CLI's.
pub(super) fn let_go_of(streams: &[i32]) {
    let Ok(nothing) = open(c"/dev/null", Access::Both) else { return };
    for stream in streams {
        // SAFETY: 0 to 2 belong to nobody in a process without `main`.
        let _ = unsafe { call(number::DUP3, [nothing.0 as usize, *stream as usize, 0, 0, 0, 0]) };
    }
}

/// Signals that are blocked in this process and wait to be read.
#[derive(Debug)]
pub(super) struct Signals {
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

const DEFAULT: usize = 0;
const IGNORE: usize = 1;

fn set_action(signal: i32, handler: usize) {
    let action = Action { handler, flags: 0, restorer: 0, mask: 0 };
    let place = ptr::from_ref(&action) as usize;
    // SAFETY: the kernel reads the action; both handlers that are used here are none.
    let _ = unsafe { call(number::RT_SIGACTION, [signal as usize, place, 0, size_of::<u64>(), 0, 0]) };
}

const BLOCK: usize = 0;
const SET_MASK: usize = 2;

/// Changes which signals wait; answers which did before.
fn set_mask(how: usize, mask: u64) -> Result<u64> {
    let mut before = 0_u64;
    let places = [ptr::from_ref(&mask) as usize, ptr::from_mut(&mut before) as usize];
    // SAFETY: the kernel reads one mask and writes another.
    unsafe { call(number::RT_SIGPROCMASK, [how, places[0], places[1], size_of::<u64>(), 0, 0])? };
    Ok(before)
}

impl Signals {
    /// Blocks these signals from here on. SIGPIPE is ignored, and SIGCHLD has its default meaning, so
    /// that children can be waited for whatever the host has inherited.
    pub(super) fn hold(signals: &[i32]) -> Result<Self> {
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
    pub(super) fn next(&self) -> Option<i32> {
        // `struct signalfd_siginfo`; the first field is the number.
        let mut info = [0; 128];
        let read = self.descriptor.read(&mut info).ok()?;
        let number = info.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
        number.filter(|_| read == info.len())
    }

    pub(super) const fn source(&self) -> Source {
        Source::of(&self.descriptor)
    }

    /// Starts a program in a process group of its own, with the signal mask from before. It gets SIGTERM
    /// when we die.
    pub(super) fn spawn(
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
            control(SET_PARENT_DEATH_SIGNAL, signal::TERM as usize)?;
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

/// Fills the buffer. False when the end comes first.
pub(super) fn read_whole(file: &Descriptor, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => return false,
            Ok(length) => filled += length,
            Err(Errno::INTERRUPTED) => {}
            Err(_) => return false,
        }
    }
    true
}

/// So much memory, all zero; none where the system has none. It takes up room once it is written to.
pub(super) fn memory(words: usize) -> &'static mut [u64] {
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
pub(super) fn die_by(signal: i32) -> ! {
    const SET_DUMPABLE: usize = 4;
    let _ = control(SET_DUMPABLE, 0);
    set_action(signal, DEFAULT);
    let _ = set_mask(SET_MASK, 0);
    kill(this(), signal);
    // A signal that does not end a process did not end the CLI either.
    kill(this(), self::signal::KILL);
    exit(128 + signal)
}
