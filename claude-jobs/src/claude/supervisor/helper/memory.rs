//! The functions on memory that the compiler expects of every program, by the names that C gave them.
//!
//! Simple loops: what is copied here is a few hundred bytes per run.

#![allow(unsafe_code)]

use core::ffi::c_int;

/// # Safety
/// As in C: both are so long, and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: below the length.
        unsafe { *target.add(index) = *source.add(index) };
    }
    target
}

/// # Safety
/// As in C: both are so long.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, length: usize) -> *mut u8 {
    if target.addr() <= source.addr() {
        // SAFETY: from the start on, each byte is read before it is written over.
        return unsafe { memcpy(target, source, length) };
    }
    for index in (0..length).rev() {
        // SAFETY: below the length.
        unsafe { *target.add(index) = *source.add(index) };
    }
    target
}

/// # Safety
/// As in C: it is so long.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(target: *mut u8, byte: c_int, length: usize) -> *mut u8 {
    for index in 0..length {
        // SAFETY: below the length.
        unsafe { *target.add(index) = byte as u8 };
    }
    target
}

/// # Safety
/// As in C: both are so long.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    for index in 0..length {
        // SAFETY: below the length.
        let (one, other) = unsafe { (*one.add(index), *other.add(index)) };
        if one != other {
            return c_int::from(one) - c_int::from(other);
        }
    }
    0
}

/// # Safety
/// As in C: both are so long.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the same.
    unsafe { memcmp(one, other, length) }
}

/// # Safety
/// As in C: it ends with NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: not beyond the NUL.
    while unsafe { *string.add(length) } != 0 {
        length += 1;
    }
    length
}
