//! The helper: a program of a few pages that does nothing but keep a run.
//!
//! The root of a crate of its own, without std and without a C library, which the build script compiles; no
//! module of the library, which puts the program into memory and starts it from there (`program.rs`).
//! Everything but the start is in [keeper], which the library has too.

#![no_std]
#![no_main]
// What keeper offers to the host.
#![allow(dead_code)]
// The functions on memory below would be made into calls of themselves.
#![no_builtins]
#![warn(unsafe_op_in_unsafe_fn)]

use core::arch::naked_asm;
use core::slice;

use keeper::text::{Invocation, Text};

mod keeper;
#[path = "helper/memory.rs"]
mod memory;

/// Where the kernel starts the program: nothing is on the stack but the count of arguments, their
/// addresses, NULL, the variables' addresses, NULL.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", "ud2", start = sym start);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {start}", "udf #0", start = sym start);
}

/// # Safety
/// `stack` is what the kernel has put there for a new program.
unsafe extern "C" fn start(stack: *mut usize) -> ! {
    // SAFETY: the kernel has laid the stack out so; each address is of a string that ends with NUL and
    // stays until the process ends, and a text is such an address. The lists do not overlap, and nobody
    // else knows them.
    let invocation = unsafe {
        let count = *stack;
        let arguments = stack.add(1).cast::<Option<Text<'_>>>();
        let variables = arguments.add(count + 1);
        let mut length = 0;
        while (*variables.add(length)).is_some() {
            length += 1;
        }
        Invocation {
            arguments: slice::from_raw_parts_mut(arguments, count + 1),
            variables: slice::from_raw_parts_mut(variables, length + 1),
        }
    };
    keeper::main(invocation)
}

/// The end of a front or supervisor that has a mistake, by SIGABRT as in the host: the other one ends the
/// run.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    const ABORT: i32 = 6;
    keeper::sys::die_by(ABORT)
}

/// Named by core's code for unwinding, which there is none of.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
