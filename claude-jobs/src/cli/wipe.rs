//! Takes the way to the queue's database out of what the system shows of this process.
//!
//! Agents are descendants of this process and may run as the same user: then they can read `/proc/PID/environ` and
//! `/proc/PID/cmdline` of it. Both are the memory in which the process got its environment and its arguments, and say what
//! is in there now.

use crate::engine::Access;

/// Overwrites each variable and argument that leads to the database. This program itself still finds its variables.
///
/// To be called before there are other threads.
#[cfg(target_os = "linux")]
pub(super) fn wipe(access: &Access) {
    let own = std::env::vars_os();
    let own = own.filter(|(_, value)| value.to_str().is_some_and(|value| access.is_in(value)));
    for (name, value) in own.collect::<Vec<_>>() {
        // SAFETY: no other thread reads or changes the environment.
        #[allow(unsafe_code)]
        unsafe {
            // The new text is in other memory than that with which this process began.
            std::env::set_var(name, value);
        }
    }
    let Some([arguments, environment]) = places() else { return };
    for part in parts(arguments) {
        if std::str::from_utf8(part).is_ok_and(|argument| access.is_in(argument)) {
            part.fill(b'*');
        }
    }
    for part in parts(environment) {
        let Some(at) = part.iter().position(|byte| *byte == b'=') else { continue };
        let value = &mut part[at + 1..];
        if std::str::from_utf8(value).is_ok_and(|value| access.is_in(value)) {
            value.fill(b'*');
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn wipe(_: &Access) {}

/// Where the system has put the arguments and the environment of this process.
#[cfg(target_os = "linux")]
fn places() -> Option<[std::ops::Range<usize>; 2]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may hold anything; behind it the third field follows.
    let (_, fields) = stat.rsplit_once(')')?;
    let field = |number: usize| fields.split_whitespace().nth(number - 3)?.parse::<usize>().ok();
    let range =
        |start, end| Some(field(start)?..field(end)?).filter(|range| range.start != 0 && !range.is_empty());
    Some([range(48, 49)?, range(50, 51)?])
}

/// The texts in that memory, each without the zero at its end.
#[cfg(target_os = "linux")]
fn parts(place: std::ops::Range<usize>) -> impl Iterator<Item = &'static mut [u8]> {
    // SAFETY: the kernel says that the texts are there, on the first thread's stack, which can be written and lasts as long
    // as the process. The standard library reads the arguments only while somebody asks for them, and the
    // environment through pointers that have been led elsewhere where it is overwritten.
    #[allow(unsafe_code)]
    let bytes: &'static mut [u8] =
        unsafe { std::slice::from_raw_parts_mut(place.start as *mut u8, place.len()) };
    bytes.split_mut(|byte| *byte == 0)
}
