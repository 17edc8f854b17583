//! The system call instruction and the numbers of the calls, for the two architectures that claude runs on.

#![allow(unsafe_code)]

use core::arch::asm;

use super::{Errno, Result};

/// Calls the kernel.
///
/// # Safety
/// What that call with these arguments does to this process must be sound: pointers among them must be to
/// memory that the kernel may read or write as the call says.
pub(super) unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel keeps every register but these three, and leaves the stack alone. What it does to
    // memory is the caller's business.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; here it keeps every register but the result's.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack)
        );
    }
    // The last 4095 values are errors.
    if (-4095..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

macro_rules! numbers {
    ($($name:ident $libc:ident: $x86_64:literal $aarch64:literal,)+) => {
        pub(super) mod number {
            //! What each call is called by.

            $(pub(crate) const $name: usize = if cfg!(target_arch = "x86_64") { $x86_64 } else { $aarch64 };)+

            /// Where the inode's number is in `struct stat`, in bytes.
            pub(crate) const STAT_INODE: usize = 8;

            /// Where the mode is.
            pub(crate) const STAT_MODE: usize = if cfg!(target_arch = "x86_64") { 24 } else { 16 };
        }

        #[cfg(test)]
        #[test]
        fn they_are_those_of_the_c_library() {
            $(assert_eq!(number::$name, libc::$libc as usize, stringify!($name));)+
            assert_eq!(number::STAT_MODE, std::mem::offset_of!(libc::stat, st_mode));
            assert_eq!(number::STAT_INODE, std::mem::offset_of!(libc::stat, st_ino));
        }
    };
}

numbers! {
    CHDIR SYS_chdir: 80 49,
    CLOCK_GETTIME SYS_clock_gettime: 228 113,
    CLONE SYS_clone: 56 220,
    CLOSE SYS_close: 3 57,
    CONNECT SYS_connect: 42 203,
    DUP3 SYS_dup3: 292 24,
    EXECVE SYS_execve: 59 221,
    EXIT_GROUP SYS_exit_group: 231 94,
    GETDENTS64 SYS_getdents64: 217 61,
    GETPID SYS_getpid: 39 172,
    GETPPID SYS_getppid: 110 173,
    GETUID SYS_getuid: 102 174,
    KILL SYS_kill: 62 129,
    MMAP SYS_mmap: 9 222,
    NEWFSTATAT SYS_newfstatat: 262 79,
    OPENAT SYS_openat: 257 56,
    PIPE2 SYS_pipe2: 293 59,
    PPOLL SYS_ppoll: 271 73,
    PRCTL SYS_prctl: 157 167,
    READ SYS_read: 0 63,
    RT_SIGACTION SYS_rt_sigaction: 13 134,
    RT_SIGPROCMASK SYS_rt_sigprocmask: 14 135,
    SETPGID SYS_setpgid: 109 154,
    SETSID SYS_setsid: 112 157,
    SIGNALFD4 SYS_signalfd4: 289 74,
    SOCKET SYS_socket: 41 198,
    SOCKETPAIR SYS_socketpair: 53 199,
    TIMERFD_CREATE SYS_timerfd_create: 283 85,
    TIMERFD_SETTIME SYS_timerfd_settime: 286 86,
    UNLINKAT SYS_unlinkat: 263 35,
    WAIT4 SYS_wait4: 61 260,
    WRITE SYS_write: 1 64,
}
