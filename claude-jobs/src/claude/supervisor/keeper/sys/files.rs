//! Files, pipes and sockets, and waiting for them.

#![allow(unsafe_code)]

use core::ffi::CStr;
use core::ptr;

use super::numbers::{call, number};
use super::time::{Millis, Timespec};
use super::{Errno, Result};

/// An open file, closed when dropped.
#[derive(Debug)]
pub(crate) struct Descriptor(pub(super) i32);

impl Descriptor {
    pub(super) fn of(result: Result<usize>) -> Result<Self> {
        Ok(Self(result? as i32))
    }

    /// Reads what is there, up to the buffer's length. 0 at the end.
    pub(in super::super) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        read(self.0, buffer)
    }

    /// Writes what goes in at once.
    pub(in super::super) fn write(&self, bytes: &[u8]) -> Result<usize> {
        write(self.0, bytes)
    }

    /// The number of what it is open on, and its kind.
    pub(in super::super) fn identity(&self) -> Result<(u64, Kind)> {
        identity(self.0, c"", 0x1000)
    }

    /// The entries of a folder, as the kernel packs them: see `children`.
    pub(in super::super) fn entries(&self, buffer: &mut [u8]) -> Result<usize> {
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
pub(in super::super) enum Kind {
    Pipe,
    Socket,
    Other,
}

/// How to open a file.
#[derive(Clone, Copy)]
pub(in super::super) enum Access {
    Read = 0,
    Write = 1,
    Both = 2,
}

/// For opening: neither it nor what is done with the file ever waits.
pub(super) const NONBLOCK: usize = 0o4000;

/// Closed by an exec. One bit for files, pipes, sockets, timers and signals.
pub(super) const CLOEXEC: usize = 0o2000000;

/// For paths: relative to the working directory.
const HERE: usize = -100_isize as usize;

pub(in super::super) fn open(path: &CStr, access: Access) -> Result<Descriptor> {
    let flags = access as usize | NONBLOCK | CLOEXEC;
    // SAFETY: the path ends with NUL.
    Descriptor::of(unsafe { call(number::OPENAT, [HERE, path.as_ptr() as usize, flags, 0, 0, 0]) })
}

/// Reads from one of the descriptors 0 to 2.
pub(in super::super) fn read(descriptor: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes into the buffer, no further than its length.
    unsafe { call(number::READ, [descriptor as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }
}

/// Writes to one of the descriptors 0 to 2.
pub(in super::super) fn write(descriptor: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the kernel reads the slice.
    unsafe { call(number::WRITE, [descriptor as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}

/// What a path leads to, without following a link at its end.
pub(in super::super) fn kind(path: &CStr) -> Result<Kind> {
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

pub(in super::super) fn remove(path: &CStr) {
    // SAFETY: the path ends with NUL.
    let _ = unsafe { call(number::UNLINKAT, [HERE, path.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// A pipe that is closed by an exec: its reading end, its writing end.
pub(in super::super) fn pipe() -> Result<(Descriptor, Descriptor)> {
    let mut ends = [0_i32; 2];
    // SAFETY: the kernel writes two numbers.
    unsafe { call(number::PIPE2, [ends.as_mut_ptr() as usize, CLOEXEC, 0, 0, 0, 0])? };
    Ok((Descriptor(ends[0]), Descriptor(ends[1])))
}

const UNIX: usize = 1;
const STREAM: usize = 1;

/// Two sockets that are connected with each other.
pub(in super::super) fn socket_pair() -> Result<(Descriptor, Descriptor)> {
    let mut ends = [0_i32; 2];
    let place = ends.as_mut_ptr() as usize;
    // SAFETY: the kernel writes two numbers.
    unsafe { call(number::SOCKETPAIR, [UNIX, STREAM | CLOEXEC, 0, place, 0, 0])? };
    Ok((Descriptor(ends[0]), Descriptor(ends[1])))
}

/// The longest path of a socket, its NUL included.
pub(in super::super) const SOCKET_PATH: usize = 108;

/// Connects to a socket by its path, and hangs up.
pub(in super::super) fn knock(path: &CStr) -> Result<()> {
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
pub(in super::super) struct Source {
    descriptor: i32,
    wanted: i16,
    came: i16,
}

impl Source {
    const IN: i16 = 1;

    /// Standard input.
    pub(in super::super) const fn stdin() -> Self {
        Self { descriptor: 0, wanted: Self::IN, came: 0 }
    }

    pub(in super::super) const fn of(descriptor: &Descriptor) -> Self {
        Self { descriptor: descriptor.0, wanted: Self::IN, came: 0 }
    }

    /// Whether there is something to read, the end included.
    pub(in super::super) const fn is_ready(&self) -> bool {
        self.came != 0
    }
}

/// Waits until one of them has something to read or has ended, so long at most: for ever without a limit.
/// Answers how many; 0 when the time is over.
pub(in super::super) fn wait_for(sources: &mut [Source], most: Option<Millis>) -> Result<usize> {
    let mut limit = most.map(Timespec::of);
    let limit = limit.as_mut().map_or(0, |limit| ptr::from_mut(limit) as usize);
    // SAFETY: the kernel reads and writes the sources and the limit, if any. No mask of signals.
    unsafe { call(number::PPOLL, [sources.as_mut_ptr() as usize, sources.len(), limit, 0, 0, 0]) }
}

/// Fills the buffer. False when the end comes first.
pub(in super::super) fn read_whole(file: &Descriptor, buffer: &mut [u8]) -> bool {
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
